r"""Options of a format, as they stand after its name: `name:option=value:option=value`.

In a value, a backslash stands before what would else begin another option: `name:option=https://host/a\:b=c`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any

from yolocli.errors import UsageError
from yolocli.parsing import suggestion

SEPARATOR = ":"
_BEGIN = f"{SEPARATOR}(?=[a-z][a-z_-]*=)"
"""What stands before an option: a value may hold the separator, as addresses do."""
_NEXT, _ALIKE, _ESCAPED = (re.compile(text) for text in (rf"(?<!\\){_BEGIN}", _BEGIN, rf"\\{_BEGIN}"))
_FLAGS = {"true": True, "false": False}
_PARSERS: Mapping[type, tuple[Callable[[str], Any], str]] = MappingProxyType(
    {
        bool: (_FLAGS.__getitem__, "true or false"),
        int: (int, "a whole number"),
        float: (float, "a number"),
        str: (str, "a text"),
    }
)
"""What reads a value of each type that an option may have, and what to say of one that cannot be read."""


def parse_options(text: str, defaults: Any) -> Any:
    """Returns the options that a text asks for.

    Args:
        text: The format's name and options.
        defaults: The options at their defaults; None if there are none.

    Raises:
        UsageError: If there is no such option, or its value cannot be used.
    """
    _, separator, rest = text.partition(SEPARATOR)
    given = _NEXT.split(rest) if separator else []
    known = {} if defaults is None else {field.name.replace("_", "-"): field.name for field in fields(defaults)}
    changes = {}
    for entry in given:
        name, _, value = entry.partition("=")
        name = name.replace("_", "-")
        if name not in known:
            hint = suggestion(name, list(known)) if known else "the format has no options"
            raise UsageError(f"--format {text}: no option {name!r}; {hint}")
        parse, kind = _PARSERS[type(getattr(defaults, known[name]))]
        try:
            changes[known[name]] = parse(_ESCAPED.sub(SEPARATOR, value))
        except (ValueError, KeyError):
            raise UsageError(f"--format {text}: {name} must be {kind}") from None
    return replace(defaults, **changes) if changes else defaults


def option_text(options: Any, defaults: Any) -> str:
    """Returns the shortest text that asks for options; empty where all are at their defaults."""
    if options is None:
        return ""
    values = ((field.name, getattr(options, field.name)) for field in fields(options))
    changed = [(name, value) for name, value in values if value != getattr(defaults, name)]
    return "".join(f"{SEPARATOR}{name.replace('_', '-')}={_shown(value)}" for name, value in changed)


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else _ALIKE.sub(rf"\\{SEPARATOR}", str(value))
