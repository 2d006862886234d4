"""PyTorch, and what else runs through Ultralytics."""
