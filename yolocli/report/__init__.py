"""The page that shows a run: figures and pictures, opened from disk, without a server or a network."""

from yolocli.report.make import asked_before, make_report

__all__ = ["asked_before", "make_report"]
