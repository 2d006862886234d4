"""Output formats: projections of the journal. A new format is one module, with a `FORMAT`, and one row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType

from yolocli.errors import MissingExtraError, UsageError, install_hint
from yolocli.output.formats import failures, maps, page, pictures
from yolocli.output.formats.base import Context, Format, Writer
from yolocli.output.formats.options import SEPARATOR, option_text, parse_options
from yolocli.output.sink import File, ImageFiles, Tree
from yolocli.parsing import suggestion

FORMATS: Mapping[str, str] = MappingProxyType(
    {
        "json": "yolocli.output.formats.json_files",
        "csv": "yolocli.output.formats.csv_tables",
        "csv-per-image": "yolocli.output.formats.csv_files",
        "coco": "yolocli.output.formats.coco",
        "coco-dataset": "yolocli.output.formats.coco_dataset",
        "yolo": "yolocli.output.formats.yolo",
        "voc": "yolocli.output.formats.voc",
        "label-studio": "yolocli.output.formats.label_studio",
        "megadetector": "yolocli.output.formats.megadetector",
        "by-class": "yolocli.output.formats.by_class",
        "parquet": "yolocli.output.formats.parquet",
        "sqlite": "yolocli.output.formats.sqlite",
    }
)
ALWAYS = (failures.FORMAT,)
"""What is written whatever was asked for."""


def find_format(text: str) -> Format:
    """Returns a format, with the options that were asked for.

    Args:
        text: Its name, and options after it if there are any: `name:option=value`.

    Raises:
        UsageError: If there is no such format or option.
        MissingExtraError: If it needs a package that is not installed.
    """
    found = _row(text)
    if found.needs is not None and find_spec(found.needs[0]) is None:
        package, extra = found.needs
        raise MissingExtraError(f"--format {text}: needs {package}, which is not installed: {install_hint(extra)}")
    return replace(found, options=parse_options(text, found.options))


def find_formats(texts: Iterable[str]) -> dict[str, Format]:
    """Returns formats by the shortest text that asks for each.

    Args:
        texts: See `find_format`.

    Raises:
        UsageError: As for `find_format`, and if one format is asked for with options of two kinds.
    """
    found: dict[str, Format] = {}
    for text in texts:
        wanted = find_format(text)
        short = _name(text) + option_text(wanted.options, _row(text).options)
        if short not in found and _name(text) in map(_name, found):
            raise UsageError(f"--format {text}: is asked for twice, with different options")
        found[short] = wanted
    return found


def set_option(texts: Iterable[str], name: str, value: object) -> tuple[str, ...]:
    """Returns texts that ask for the same formats, with an option set in those that have it.

    Args:
        texts: See `find_format`.
        name: Of the field in their options.
        value: What it is to be.

    Raises:
        UsageError: As for `find_format`, and if none of them has the option.
    """
    found = {text: find_format(text) for text in texts}
    takers = {text: one.options for text, one in found.items() if hasattr(one.options, name)}
    if not takers:
        having = [known for known in FORMATS if hasattr(find_format(known).options, name)]
        option = f"--{name.replace('_', '-')}"
        raise UsageError(f"{option}: no format that was asked for has it; add --format {' or '.join(having)}")
    made = {text: option_text(replace(old, **{name: value}), _row(text).options) for text, old in takers.items()}
    return tuple(_name(text) + made[text] if text in made else text for text in found)


def and_earlier(formats: Mapping[str, Format], texts: Iterable[str]) -> dict[str, Format]:
    """Returns formats and others that earlier runs wrote, which must not fall behind.

    Args:
        formats: What was asked for; see `find_formats`.
        texts: What earlier runs wrote; what this version does not know is left out.

    Raises:
        MissingExtraError: If one of them needs a package that is not installed.
    """
    asked = set(map(_name, formats))
    both = dict(formats)
    for text in texts:
        if _name(text) not in asked:
            try:
                both |= find_formats([text])
            except MissingExtraError as error:
                raise MissingExtraError(f"an earlier run wrote it, so it would fall behind: {error}") from None
            except UsageError:
                continue
    return both


def noted(formats: Iterable[str], texts: Iterable[str]) -> list[str]:
    """Returns the texts of formats, and of others that earlier runs wrote; see `and_earlier`."""
    formats = list(formats)
    asked = set(map(_name, formats))
    return [*formats, *(text for text in texts if _name(text) not in asked)]


def every_format() -> list[Format]:
    """Returns all that there are to ask for, with options at their defaults, and what is made besides."""
    return [*map(_row, FORMATS), maps.FORMAT, page.FORMAT, pictures.IMAGES, pictures.OF_BOXES]


def files_of(formats: Iterable[Format]) -> tuple[list[File], list[ImageFiles]]:
    """Returns what formats, and those that are written always, may write; of trees, the lists."""
    formats = [*formats, *ALWAYS]
    files = [file for one in formats for file in (*one.files, *(tree.list for tree in one.trees))]
    return files, [files for one in formats for files in one.images]


def trees_of(formats: Iterable[Format]) -> list[Tree]:
    """Returns the trees that formats may write."""
    return [tree for one in formats for tree in one.trees]


def open_final(formats: Iterable[Format], context: Context) -> list[Writer]:
    """Opens what formats, and those that are written always, write at the end; see `Format.final`."""
    return [one.final(replace(context, options=one.options)) for one in (*formats, *ALWAYS) if one.final]


def open_live(formats: Iterable[Format], context: Context) -> list[Writer]:
    """Opens what formats write as images end; see `Format.live`."""
    return [one.live(replace(context, options=one.options)) for one in formats if one.live]


def _row(text: str) -> Format:
    name = _name(text)
    if name not in FORMATS:
        raise UsageError(f"--format {text}: {suggestion(name, list(FORMATS))}")
    found: Format = import_module(FORMATS[name]).FORMAT
    return found


def _name(text: str) -> str:
    return text.partition(SEPARATOR)[0]
