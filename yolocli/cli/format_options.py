"""Options of formats that have a flag of their own on the command line."""

from __future__ import annotations


def with_options(formats: tuple[str, ...], **flags: object) -> tuple[str, ...]:
    """Returns what asks for the same formats, with the options that flags give; see `set_option`.

    Args:
        formats: What was asked for.
        flags: By the names of the options; what is empty or False was not given.

    Raises:
        UsageError: If no format that was asked for has an option.
    """
    for name, value in flags.items():
        if value:
            from yolocli.output.formats import set_option

            formats = set_option(formats, name, value)
    return formats
