"""Where images come from: inputs to a stream of files, each once and by one name."""
