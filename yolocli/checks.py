"""Checks of values that settings are made of."""

from __future__ import annotations

from numbers import Integral, Real

from yolocli.errors import UsageError


def check_share(option: str, value: float) -> None:
    """Makes sure that a number is a share.

    Raises:
        UsageError: If it is not in [0, 1].
    """
    check(isinstance(value, Real) and 0 <= value <= 1, f"{option} {value}: must be a number in [0, 1]")


def check_count(option: str, value: int, least: int) -> None:
    """Makes sure that a number is whole, and no less than the least.

    Raises:
        UsageError: If it is not.
    """
    valid = isinstance(value, Integral) and value >= least
    check(valid, f"{option} {value}: must be a whole number, at least {least}")


def check_seconds(option: str, value: float | None) -> None:
    """Makes sure that a time, if there is one, is more than nothing.

    Raises:
        UsageError: If it is not.
    """
    valid = value is None or (isinstance(value, Real) and value > 0)
    check(valid, f"{option} {value}: must be more than 0 seconds")


def check(valid: bool, message: str) -> None:
    """Makes sure that a value is valid.

    Raises:
        UsageError: If it is not, with the message.
    """
    if not valid:
        raise UsageError(message)
