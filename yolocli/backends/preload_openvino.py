"""Imported once by the server that child processes are forked from; nothing in it starts a thread."""

import cv2  # noqa: F401
import numpy  # noqa: F401

import yolocli.detector
import yolocli.runtimes.openvino  # noqa: F401
from yolocli.runtimes.openvino_library import import_openvino

import_openvino()
