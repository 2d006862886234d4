"""What is measured: speed, and what a faster model costs."""
