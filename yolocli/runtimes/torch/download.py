"""Ultralytics' official models: which there are, and how to fetch one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from yolocli.runtimes.torch.library import import_ultralytics


@dataclass(frozen=True, slots=True)
class Official:
    """See `models.Downloads`.

    Attributes:
        verbose: Let Ultralytics' messages through, on stderr.
    """

    verbose: bool = False

    def offers(self, name: str) -> bool:
        """See `Downloads.offers`."""
        import_ultralytics(self.verbose)
        from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES

        return name in GITHUB_ASSETS_NAMES

    def fetch(self, target: Path) -> None:
        """See `Downloads.fetch`."""
        import_ultralytics(self.verbose)
        from ultralytics.utils.downloads import attempt_download_asset

        attempt_download_asset(target)
