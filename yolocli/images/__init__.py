"""Files to pixels, and pixels to the canvas that a network takes."""
