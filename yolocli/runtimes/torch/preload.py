"""Imported once by the server that child processes are forked from, so that N workers pay for one import."""

import atexit
import os

from yolocli.runtimes.torch.library import import_ultralytics

import_ultralytics()

import ultralytics.nn.autobackend  # noqa: E402, F401

# The server has nothing to tidy up; taking torch apart would make it outlive the command by a second
atexit.register(os._exit, 0)
