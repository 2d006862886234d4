"""What a model is for: how the output of its network becomes the records of an image."""
