"""The page that shows a run: figures and pictures, opened from disk, without a server or a network."""

from yolocli.report.make import make_report

__all__ = ["make_report"]
