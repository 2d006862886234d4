"""Imported once by the server that child processes are forked from; nothing in it starts a thread."""

import cv2  # noqa: F401
import numpy  # noqa: F401

import yolocli.runtimes.openvino.load  # noqa: F401
from yolocli.runtimes.openvino.library import import_openvino

import_openvino()
