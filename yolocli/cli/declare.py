"""How commands and options are declared: help in groups, values read by our parsers, variables named like options."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import typer
from typer.core import TyperCommand

from yolocli.errors import UsageError
from yolocli.parsing import check_name, split_commas

Parser: TypeAlias = Callable[[str, str], object]
"""Makes a value of what was typed; told the name of the option, for its message."""

VARIABLES = (
    "Each option can be set by a variable, too: --max-det by YOLOCLI_MAX_DET. One that can be repeated is "
    "comma-separated there."
)
MAIN = "detect"
"""The command whose variables have no word of its own: YOLOCLI_CONF, but YOLOCLI_EXPORT_CONF."""


class Command(TyperCommand):
    """A command whose help is in groups, and whose variables are named like its options; so help names none of them."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        prefix = "YOLOCLI" if self.name == MAIN else f"YOLOCLI_{str(self.name).upper()}"
        param: Any
        for param in self.params:
            if param.param_type_name == "option":
                param.envvar = f"{prefix}_{param.opts[0].lstrip('-').replace('-', '_').upper()}"

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the options under the headings of their groups, in the order in which they are declared."""
        groups: dict[str, list[tuple[str, str]]] = {}
        param: Any
        for param in self.get_params(ctx):
            if param.param_type_name == "argument":
                groups.setdefault("Arguments", []).append((param.metavar or param.name.upper(), param.help or ""))
                continue
            param.show_envvar = False
            record = param.get_help_record(ctx)
            if record is not None:
                text = record[1].replace("[default: (", "[default: ").replace(")]", "]")  # of a default put in words
                groups.setdefault(getattr(param, "rich_help_panel", None) or "Options", []).append((record[0], text))
        groups.setdefault("Options", groups.pop("Options", []))  # what is in no group comes last
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def given_in(ctx: typer.Context) -> dict[str, Any]:
    """Returns what was given, or has a default in the signature, by the names of the parameters."""
    return {name: value for name, value in ctx.params.items() if value not in (None, ())}


def option(
    usage: str, group: str, text: str, parse: Parser | None = None, default: str | bool = True, **settings: Any
) -> Any:
    """Declares an option.

    Args:
        usage: Its names, and what stands for its value, as in `--workers -j N`.
        group: Its heading in help.
        text: Its help.
        parse: What reads it, if it is more than a number or a text.
        default: The default in words; whether to show it.
        settings: Others of `typer.Option`.
    """
    words = usage.split()
    names = [word for word in words if word.startswith("-")]

    def read(value: Any) -> Any:
        return None if value is None or parse is None else parse(value, names[0])

    settings.setdefault("callback", read if parse else None)
    metavar = words[-1] if len(words) > len(names) else None
    return typer.Option(*names, help=text, metavar=metavar, rich_help_panel=group, show_default=default, **settings)


def several(
    usage: str, group: str, text: str, parse: Parser | None = None, *, commas: bool = True, **settings: Any
) -> Any:
    """Declares an option that can be repeated; commas part its values in its variable, and mostly here, too."""
    name = usage.split()[0]

    def read(ctx: typer.Context, param: typer.CallbackParam, value: Any) -> Any:
        if not value:
            return ()
        source: Any = ctx.get_parameter_source(str(param.name))
        in_variable = source.name == "ENVIRONMENT"
        if in_variable:  # typer parts its values at blanks
            value = [os.environ[str(param.envvar)]]
        texts = split_commas(value) if commas or in_variable else value
        if not texts and not in_variable:
            raise UsageError(f"{name} {','.join(value)}: name at least one")
        return tuple(parse(text, name) if parse else text for text in texts)

    return option(usage, group, text, callback=read, **settings)


def argument(metavar: str, text: str, **settings: Any) -> Any:
    """Declares an argument; `settings` are others of `typer.Argument`."""
    return typer.Argument(metavar=metavar, help=text, show_default=False, **settings)


def one_of(names: Sequence[str]) -> dict[str, Any]:
    """Returns the settings of an option that takes one of some names."""
    return {"parse": lambda text, option: check_name(option, text, names), "autocompletion": lambda: names}
