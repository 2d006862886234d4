"""Imported once by the server that child processes are forked from, so that N workers pay for one import."""

from yolocli.runtimes.library import import_ultralytics

import_ultralytics()

import ultralytics.nn.autobackend  # noqa: E402, F401
