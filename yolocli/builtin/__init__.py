"""The embedded detector ``codes``: its weights, and the names and order of its classes.

Importing this package costs nothing: the scene generator, the training recipe and the evaluation
live in its modules and bring OpenCV, torch and the drawing libraries only when they are run.
"""

from pathlib import Path
from typing import Final

WEIGHTS: Final[Path] = Path(__file__).with_name("codes.pt")
"""The shipped checkpoint; ``--model builtin`` resolves to it."""

CODES: Final[tuple[str, ...]] = ("qr_code", "barcode", "data_matrix", "aruco_marker")
"""Class names; a name's place is its class index in the weights and in every label file."""
