"""The output folders of several machines as one: what a single run over all images would have left."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from yolocli.errors import OutputError, UsageError
from yolocli.output.at_hand import kept_still, name_of, to_read
from yolocli.output.fingerprint import changed_settings
from yolocli.output.folder import OutputFolder
from yolocli.output.formats import find_formats
from yolocli.output.formats.maps import FILES as MAP_FILES
from yolocli.output.journal import Journal, count_damaged
from yolocli.output.new_folder import new_folder, refuse_used
from yolocli.output.ownership import DAMAGED_FILE, JOURNAL, JOURNAL_FILE, RUN, SHOWN, SUMMARY, refuse_foreign
from yolocli.output.past import sort_key
from yolocli.output.places import places
from yolocli.output.projection import Totals, opened, outcomes_of, project_all, roots_of
from yolocli.output.run_file import conclude, read_json, write_json
from yolocli.results import ImageResult, Outcome
from yolocli.sources.base import Notice
from yolocli.sources.names import Root
from yolocli.tasks.whole import MAP


@dataclass(frozen=True, slots=True)
class _Part:
    """A folder to be merged."""

    folder: OutputFolder
    name: str
    run: Mapping[str, Any]
    roots: Sequence[Root]

    @property
    def shard(self) -> str | None:
        shard: str | None = (self.run.get("settings") or {}).get("shard")
        return shard


def merge(
    places: Sequence[str | os.PathLike[str]],
    target: Path,
    formats: Sequence[str] | None = None,
    timings: bool = False,
    notice: Notice = lambda message: None,
) -> Totals:
    """Joins output folders to a new one, which is as a single run would have left it.

    It holds one outcome of each folder at a time, and for each image what sorts it.

    Args:
        places: The folders, in any order: paths or URLs.
        target: The new folder; must be empty, if it is there.
        formats: See `find_formats`; None makes those that all of the folders have.
        timings: See `rebuild`.
        notice: Told of damage to the journals, and of what a format has no place for.

    Returns:
        What it holds.

    Raises:
        UsageError: If the folders do not go together: other settings, a shard that is missing, not finished or there
            twice, an image that is in two of them, or images that are called otherwise. Then there is no new folder.
        OutputError: If a journal is damaged or a file cannot be written.
    """
    asked = None if formats is None else find_formats(formats)
    refuse_used(target)
    with ExitStack() as stack:
        parts = [_part(stack, place) for place in _different(places)]
        _refuse_other_settings(parts)
        _refuse_shards(parts)
        _refuse_unfinished(parts)
        found = _roots(parts)
        wanted = find_formats(_shared_formats(parts)) if asked is None else asked
        told = next((part.run for part in parts if part.run.get("names")), parts[0].run)
        settings = {**(told.get("settings") or {}), "shard": None, "formats": list(wanted)}
        settings["merged_from"] = [name_of(part.name) for part in parts]
        run = {**told, "settings": settings, "roots": [asdict(root) for root in found]}
        made = stack.enter_context(new_folder(target))
        write_json(made, RUN, run | {"finished": None})
        with closing(Journal(made, timings)) as journal:
            for outcome in _in_order(parts):
                journal.append(outcome)
        if (told.get("fingerprint") or {}).get("save_maps"):
            for part in parts:
                _copy_maps(part, made)
        totals = project_all(made, wanted.values(), timings, notice)
        conclude(made, {RUN: run})
        return totals


def _different(places: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Returns the folders.

    Raises:
        UsageError: If one is named twice.
    """
    seen: dict[str, str] = {}
    for place in places:
        name = name_of(place)
        if name in seen:
            raise UsageError(f"{os.fspath(place)}: is named twice")
        seen[name] = os.fspath(place)
    return list(seen.values())


def _part(stack: ExitStack, place: str) -> _Part:
    """Opens a folder, so that no run can write to it, or a copy of one in a store.

    Raises:
        UsageError: If it is no output folder, in use, or an earlier version wrote it without its roots.
    """
    root = stack.enter_context(to_read(place, maps=True))
    folder = opened(root)
    refuse_foreign(root, [JOURNAL_FILE, DAMAGED_FILE], [])
    stack.enter_context(kept_still(folder))
    roots = roots_of(folder)
    run = read_json(folder, RUN)
    if run is None or roots is None:
        raise UsageError(f"{root}: it cannot be told what its records were made with; run it again with this version")
    return _Part(folder, place, run, roots)


def _refuse_other_settings(parts: Sequence[_Part]) -> None:
    first = parts[0]
    for part in parts[1:]:
        was, is_ = first.run.get("fingerprint") or {}, part.run.get("fingerprint") or {}
        changed = changed_settings(was, is_, first.run.get("names") or part.run.get("names") or {})
        if was.get("weights_sha256") != is_.get("weights_sha256"):
            changed.append("the weights are others")
        if changed:
            raise UsageError(f"{part.name}: was made with other settings than {first.name} ({'; '.join(changed)})")


def _refuse_unfinished(parts: Sequence[_Part]) -> None:
    """Makes sure that no folder lacks images.

    Raises:
        UsageError: With those that do.
    """
    wrong = []
    for part in parts:
        summary = read_json(part.folder, SUMMARY) or {}  # earlier versions say it there
        if not (part.run.get("finished") and part.run.get("complete", summary.get("complete", True))):
            wrong.append(f"{part.name}: its run did not come to its end; run it again")
        elif damaged := count_damaged(part.folder.root / JOURNAL):
            wrong.append(f"{part.name}: its journal has damaged lines ({damaged:,}); run it again")
    if wrong:
        raise UsageError("; ".join(wrong))


def _refuse_shards(parts: Sequence[_Part]) -> None:
    """Makes sure that every shard is there once.

    Raises:
        UsageError: With those that are not.
    """
    by_shard: dict[str, list[str]] = {}
    for part in parts:
        if part.shard is not None:
            by_shard.setdefault(part.shard, []).append(part.name)
    if not by_shard:
        return
    wrong = [f"shard {shard} is there twice: {', '.join(names)}" for shard, names in by_shard.items() if names[1:]]
    wrong += [f"{part.name} is no shard" for part in parts if part.shard is None]
    counts = sorted({int(shard.partition("/")[2]) for shard in by_shard})
    if counts[1:]:
        wrong.append(f"shards are of {' and of '.join(map(str, counts))}")
    else:
        missing = [str(number) for number in range(1, counts[0] + 1) if f"{number}/{counts[0]}" not in by_shard]
        wrong += [f"missing of {counts[0]} shards: {', '.join(missing)}"] if missing else []
    if wrong:
        raise UsageError("; ".join(wrong))


def _roots(parts: Sequence[_Part]) -> list[Root]:
    """Returns the roots of all, which must not contradict each other.

    Raises:
        UsageError: If one name stands for two folders, or one folder has two names.
    """
    by_path: dict[str, tuple[Root, str]] = {}
    by_name: dict[str, tuple[Root, str]] = {}
    for part in parts:
        for root in part.roots:
            for other, where in (
                by_path.setdefault(root.path, (root, part.name)),
                by_name.setdefault(root.name, (root, part.name)),
            ):
                if other != root:
                    raise UsageError(
                        f"{part.name} calls images of {root.path} {root.name or '.'}/..., "
                        f"{where} calls those of {other.path} {other.name or '.'}/...: "
                        "give all runs the same inputs, or lists of files below one folder"
                    )
    return [root for root, _ in by_path.values()]


def _shared_formats(parts: Sequence[_Part]) -> list[str]:
    """Returns the formats that every folder has."""
    every = [list((part.run.get("settings") or {}).get("formats") or ()) for part in parts]
    return [name for name in every[0] if all(name in names for names in every)]


def _in_order(parts: Sequence[_Part]) -> Iterator[Outcome]:
    """Yields what all folders hold, in input order.

    Raises:
        UsageError: At the end, if images are in two of them; with some of their names.
    """

    def outcomes(part: _Part) -> Iterator[tuple[bytes, str, Outcome]]:
        for outcome in outcomes_of(part.folder, part.roots):
            yield sort_key(outcome.path), part.name, outcome

    double: list[str] = []
    before: tuple[bytes, str] = b"", ""
    for key, name, outcome in heapq.merge(*map(outcomes, parts), key=lambda entry: entry[:2]):
        if before[0] == key:
            double.append(f"{outcome.path}, in {before[1]} and {name}")
            if len(double) == SHOWN:
                break
        before = key, name
        yield outcome
    if double:
        raise UsageError(f"images are in two folders: {'; '.join(double)}")


def _copy_maps(part: _Part, made: OutputFolder) -> None:
    """Copies what only a run can make of an image: its map, where the record names one.

    Raises:
        OutputError: If one cannot be read or written.
    """
    for outcome in outcomes_of(part.folder, part.roots):
        if isinstance(outcome, ImageResult) and MAP in outcome.more:
            made.write_image(MAP_FILES, outcome.path, _map_of(part.folder, outcome.path))


def _map_of(folder: OutputFolder, path: str) -> bytes:
    """Returns the map of an image, from where runs put it, whatever its record says.

    Raises:
        OutputError: If it cannot be read.
    """
    for place in places(MAP_FILES, path):
        with suppress(OSError, ValueError):
            return (folder.root / place).read_bytes()
    raise OutputError(f"{folder.root}: the map of {path} cannot be read; run the command of that folder again")
