"""Where Label Studio finds the images, and what to do so that it does."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from yolocli.output.formats.json_stream import unicode_name
from yolocli.results import ImageRef
from yolocli.sources import DISK, scheme_of
from yolocli.sources.base import SCHEME
from yolocli.sources.names import Root

LOCAL = "/data/local-files/?d="
"""Where Label Studio serves files of its own machine: what follows is relative to its document root."""
_SERVED = ("/data/local-files/", "/data/upload/")
_WEB = ("http://", "https://", *_SERVED)
"""What is fetched as a URL; the others are names in a store, which are taken as they are."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where images are for Label Studio.

    Attributes:
        prefix: Put before their names; empty where they are told by where they lie below the document root.
        document_root: A folder that Label Studio is to serve; empty if it is none of this machine.
        folders: Those below it that hold images.
    """

    prefix: str = ""
    document_root: str = ""
    folders: tuple[str, ...] = ()

    def address(self, ref: ImageRef) -> str:
        """Returns what Label Studio asks for to show an image; empty where it cannot, as it looks into no archives."""
        if self.prefix:
            between = "" if self.prefix.endswith(("/", "=")) else "/"
            name = _quoted(ref.path) if self.prefix.startswith(_WEB) else unicode_name(ref.path)
            return self.prefix + between + name
        if SCHEME in ref.source:
            return unicode_name(ref.source)
        if scheme_of(ref.source) != DISK:
            return ""
        inside = os.path.join(self.document_root, "")
        if self.document_root and ref.source.startswith(inside):
            return LOCAL + _quoted(ref.source[len(inside) :].replace(os.sep, "/"))
        return LOCAL + _quoted(ref.path)

    def steps(self) -> str:
        """Returns the lines to start Label Studio with, and what to do there."""
        if self.document_root:
            start = (
                "1. Start Label Studio so that it may show these pictures:\n\n"
                "   LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true \\\n"
                f"   LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={shlex.quote(unicode_name(self.document_root))} \\\n"
                "   label-studio start"
            )
            folders = "\n".join(f"   {unicode_name(folder)}" for folder in self.folders)
            storage = f"Local Files, with this path; do not sync it, as tasks.json has the tasks:\n\n{folders}"
        else:
            start = "1. Start Label Studio:\n\n   label-studio start"
            storage = f"the one that holds the pictures, if it is not open to all:\n\n   {self.prefix or LOCAL}"
        return (
            f"{start}\n\n"
            "2. Create a project. In its settings, under Labeling Interface > Code, paste label_config.xml.\n\n"
            f"3. Under Cloud Storage > Add Source Storage, choose {storage}\n\n"
            "4. Import tasks.json. Its predictions are what the model found.\n"
        )


def find_place(image_root: str, roots: Sequence[Root]) -> Place:
    """Returns where images are.

    Args:
        image_root: What stands in place of the folder that names are relative to: an address such as
            `s3://bucket/photos`, or a folder on Label Studio's machine, absolute or below its document root. Empty for
            where the images lie here.
        roots: What names of images are relative to.
    """
    if SCHEME in image_root or image_root.startswith(_SERVED):
        return Place(image_root)
    if image_root:
        folder = image_root.rstrip("/\\") or image_root
        root, name = os.path.split(folder) if os.path.isabs(folder) else ("", folder)
        return Place(LOCAL + _quoted(name.replace(os.sep, "/")), root, (folder,) if root else ())
    folders = tuple(root.path for root in roots if SCHEME not in root.path)
    try:  # Label Studio shows no files of the document root itself, so it is the folder above
        return Place("", os.path.dirname(os.path.commonpath(folders)), folders) if folders else Place()
    except ValueError:  # on different drives
        return Place()


def _quoted(path: str) -> str:
    return quote(os.fsencode(path), safe="/")
