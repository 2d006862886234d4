"""What people write on a command line or in a call, read into values."""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import SupportsIndex

from yolocli.config import Precision
from yolocli.errors import UsageError

SECONDS: Mapping[str, float] = MappingProxyType({"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400})


def check_name(option: str, text: str, names: Sequence[str]) -> str:
    """Returns a text that is one of the names that an option or argument takes.

    Raises:
        UsageError: If it is none of them.
    """
    if text not in names:
        raise UsageError(f"{option} {text}: {suggestion(str(text), names)}")
    return str(text)


def parse_precision(text: str, option: str) -> Precision:
    """Returns the precision that a text names.

    Raises:
        UsageError: If it names none.
    """
    return Precision(check_name(option, text, [precision.value for precision in Precision]))


def suggestion(text: str, names: Sequence[str]) -> str:
    """Returns what to say of a name that is not among the known: the one that was meant, or all of them."""
    close = difflib.get_close_matches(text.lower(), names, n=1)
    return f"did you mean {close[0]}?" if close else f"choose from {', '.join(names)}"


def parse_count(text: str, option: str) -> int:
    """Returns a whole number, 0 or more.

    Raises:
        UsageError: If the text is none.
    """
    if not text.isdecimal():
        raise UsageError(f"{option} {text}: must be a whole number, at least 0")
    return int(text)


def parse_workers(text: str, option: str = "--workers") -> tuple[int, int]:
    """Returns the (least, most) of `MIN..MAX`, or (0, N) of `N`.

    Raises:
        UsageError: If the text is neither.
    """
    match = re.fullmatch(r"(?:(\d+)\.\.)?(\d+)", text.strip())
    if not match or (match[1] and not 1 <= int(match[1]) <= int(match[2])):
        raise UsageError(
            f"{option} {text}: give a number, such as 8, or for ray mode the least and the most, as in 2..8"
        )
    return int(match[1] or 0), int(match[2])


def parse_resources(text: str, option: str = "--ray-resources") -> tuple[tuple[str, float], ...]:
    """Returns the names and numbers of `cpu=1,gpu=0.25`.

    Raises:
        UsageError: If the text is something else.
    """
    found: dict[str, float] = {}
    for entry in split_commas([text]):
        name, _, number = (part.strip() for part in entry.partition("="))
        name = name.lower() if name.lower() in {"cpu", "gpu"} else name
        if not name or name in found or not re.fullmatch(r"\d+(\.\d+)?|\.\d+", number):
            raise UsageError(f"{option} {text}: give a number for each name, as in cpu=1,gpu=0.25")
        found[name] = float(number)
    return tuple(found.items())


def resources(given: Mapping[str, float] | str | None) -> tuple[tuple[str, float], ...] | None:
    """Returns what an actor holds, from numbers by name, or as `parse_resources` reads it.

    Raises:
        UsageError: If it is neither.
    """
    if given is None:
        return None
    text = given if isinstance(given, str) else ",".join(f"{name}={number}" for name, number in given.items())
    return parse_resources(text, "ray_resources")


def parse_devices(text: str | None, option: str = "--device") -> tuple[str, ...]:
    """Returns one device name for each entry of a list: `0,1`, `cuda:0,1`, `cuda:0,cuda:1`, `cpu`, `mps`.

    Raises:
        UsageError: If an entry is none of these.
    """
    if text is None or text.strip() in {"", "auto"}:
        return ()
    devices = []
    for entry in text.replace(" ", "").lower().split(","):
        if re.fullmatch(r"(cuda:)?\d+", entry):
            devices.append(f"cuda:{entry.removeprefix('cuda:')}")
        elif entry == "cuda":
            devices.append("cuda:0")
        elif entry in {"cpu", "mps"}:
            devices.append(entry)
        else:
            raise UsageError(f"{option} {text}: give auto, cpu, mps, cuda:0 or a list such as cuda:0,1")
    return tuple(devices)


def parse_imgsz(text: str, option: str = "--imgsz") -> tuple[int, int]:
    """Returns height and width from `640`, `480,640` or `480x640`.

    Raises:
        UsageError: If the text is none of these.
    """
    if not re.fullmatch(r"\d+([x,]\d+)?", text):
        raise UsageError(f"{option} {text}: give one side, such as 640, or height and width, such as 480x640")
    numbers = [int(number) for number in re.split("[x,]", text)]
    return numbers[0], numbers[-1]


def sides(imgsz: SupportsIndex | Sequence[SupportsIndex] | None) -> tuple[int, int] | None:
    """Returns height and width from one side, or from both.

    Raises:
        UsageError: If it is neither.
    """
    if imgsz is None:
        return None
    try:
        if isinstance(imgsz, SupportsIndex):
            return operator.index(imgsz), operator.index(imgsz)
        height, width = imgsz
        return operator.index(height), operator.index(width)
    except (TypeError, ValueError):
        raise UsageError(f"imgsz={imgsz!r}: give a side in pixels, such as 640, or (height, width)") from None


def parse_failures(text: str, option: str = "--max-failures") -> tuple[int | None, float | None]:
    """Returns the (number, share in [0, 1]) of `N` or `N%`, one of them None.

    Raises:
        UsageError: If the text is neither.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", text.strip())
    if match and match[2] and float(match[1]) <= 100:
        return None, float(match[1]) / 100
    if match and not match[2] and match[1].isdecimal():
        return int(match[1]), None
    raise UsageError(f"{option} {text}: give a number, such as 100, or a share, such as 5%")


def parse_duration(text: str, option: str) -> float:
    """Returns the seconds of `90`, `90s`, `15m`, `1.5h`, `2d` or a sum such as `1h30m`.

    Raises:
        UsageError: If the text is none of these, or zero.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    seconds = sum(float(number) * SECONDS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or seconds <= 0:
        raise UsageError(f"{option} {text}: give a duration, such as 90s, 15m or 1h30m")
    return seconds


def parse_sample(text: str, option: str = "--sample") -> int | None:
    """Returns the number of `N`, at least 1; None of `all`.

    Raises:
        UsageError: If the text is neither.
    """
    if text == "all":
        return None
    if text.isdecimal() and int(text):
        return int(text)
    raise UsageError(f"{option} {text}: give a number of images, or all")


def split_commas(texts: Iterable[str]) -> tuple[str, ...]:
    """Returns the entries of an option that is comma-separated, repeated or both; blanks inside an entry are kept."""
    return tuple(entry.strip() for text in texts for entry in text.split(",") if entry.strip())


def entries(given: Iterable[object] | str) -> tuple[str, ...]:
    """Returns the texts of a sequence, or the one text that was given in place of a sequence."""
    return (given,) if isinstance(given, str) else tuple(str(entry) for entry in given)
