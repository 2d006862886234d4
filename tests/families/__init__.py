"""Every model family that Ultralytics predicts with: networks of its own descriptions, with weights made up."""
