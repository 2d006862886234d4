"""The folder of results: the journal is the truth, all else in it a projection."""
