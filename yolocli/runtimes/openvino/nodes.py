"""How to look around in an OpenVINO graph."""

from __future__ import annotations

from typing import Any


def before(node: Any, port: int) -> Any:
    """Returns the operation that feeds one."""
    return node.input_value(port).get_node()


def kind(node: Any, port: int) -> str:
    """Returns what kind of operation feeds one."""
    name: str = before(node, port).get_type_name()
    return name


def constant(node: Any, port: int) -> Any:
    """Returns the array that an operation is fed with, a copy, as the graph may go; None if it is not a constant."""
    source = before(node, port)
    return source.get_data().copy() if source.get_type_name() == "Constant" else None
