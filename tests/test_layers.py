from __future__ import annotations

import ast
import copy
import itertools
import json
import subprocess
import sys
from typing import Any

import pytest

from tests.support import REPOSITORY, clean_environment

MOST_LINES = 300
MOST_LINES_OF_A_FUNCTION = 60
HEAVY = {
    "torch",
    "ultralytics",
    "torchvision",
    "cv2",
    "numpy",
    "openvino",
    "ray",
    "pandas",
    "matplotlib",
    "scipy",
    "PIL",
}


def _imported_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after running the code."""
    probe = f"{code}\nimport sys, json\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    command = [sys.executable, "-c", probe]
    answer = subprocess.run(command, capture_output=True, check=True, timeout=60, env=clean_environment())
    return set(json.loads(answer.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "module", ["yolocli", "yolocli.cli.app", "yolocli.api", "yolocli.pipeline", "yolocli.executors.process"]
)
def test_importing_is_light(module: str) -> None:
    assert not _imported_by(f"import {module}") & HEAVY


def test_the_library_does_not_need_the_command_line() -> None:
    assert not _imported_by("import yolocli.pipeline, yolocli.api") & {"typer", "click", "rich", "tqdm"}


@pytest.fixture(scope="module")
def contracts() -> dict[str, Any]:
    """The import contract, rule by rule."""
    pytest.importorskip("importlinter", reason="import-linter is not installed")
    from importlinter.api import read_configuration
    from importlinter.configuration import configure
    from importlinter.contracts.acyclic_siblings import AcyclicSiblingsContract
    from importlinter.contracts.layers import LayersContract
    from importlinter.contracts.protected import ProtectedContract

    configure()
    types = {type_.type_name: type_ for type_ in (AcyclicSiblingsContract, LayersContract, ProtectedContract)}
    options = read_configuration(str(REPOSITORY / "pyproject.toml"))
    return {
        rule["name"]: types[rule["type"]](rule["name"], options["session_options"], rule)
        for rule in options["contracts_options"]
    }


@pytest.fixture(scope="module")
def imports() -> Any:
    """All imports, of external packages, too."""
    grimp = pytest.importorskip("grimp", reason="import-linter is not installed")
    return grimp.build_graph("yolocli", include_external_packages=True, cache_dir=None)


def broken(contracts: dict[str, Any], imports: Any) -> set[str]:
    """The rules that imports break."""
    return {name for name, rule in contracts.items() if not rule.check(copy.deepcopy(imports), verbose=False).kept}


def test_imports_keep_the_contract(contracts: dict[str, Any], imports: Any) -> None:
    assert broken(contracts, imports) == set()


WRONG_IMPORTS = {
    "yolocli.images.decode": {"yolocli.cli.progress": "Rooms import downwards"},
    "yolocli.images.letterbox": {
        "torch": "Only its runtime knows PyTorch",
        "yolocli.sources.walk": "Rooms import downwards",
    },
    "yolocli.sources.store": {"fsspec": "Only stores read stores"},
    "yolocli.sources.walk": {"cv2": "Only images are decoded", "PIL": "Only images are decoded"},
    "yolocli.output.run_folder": {
        "typer": "Only the command line talks to people",
        "rich": "Only the command line talks to people",
        "obstore": "Only stores read stores",
        "yolocli.pipeline": "Rooms import downwards",
    },
    "yolocli.measure.bench": {"tqdm": "Only the command line talks to people"},
    "yolocli.detector": {
        "ultralytics": "Only its runtime knows PyTorch",
        "openvino": "Only its runtime knows OpenVINO",
        "yolocli.executors.chunk": "Rooms import downwards",
    },
    "yolocli.runtimes.torch.load": {"nncf": "Only its runtime knows OpenVINO"},
    "yolocli.runtimes.openvino.network": {"torchvision": "Only its runtime knows PyTorch"},
    "yolocli.executors.feed": {"yolocli.executors.crew": "No circles"},
}


@pytest.mark.parametrize(
    ("importer", "imported", "rule"),
    [(importer, imported, rule) for importer, wrong in WRONG_IMPORTS.items() for imported, rule in wrong.items()],
)
def test_a_wrong_import_breaks_its_rule(
    importer: str, imported: str, rule: str, contracts: dict[str, Any], imports: Any
) -> None:
    graph = copy.deepcopy(imports)
    assert importer in graph.modules
    if imported not in graph.modules:
        graph.add_module(imported, is_squashed=not imported.startswith("yolocli"))
    graph.add_import(importer=importer, imported=imported)
    assert rule in broken(contracts, graph)


def test_every_rule_is_broken_above(contracts: dict[str, Any]) -> None:
    assert {rule for wrong in WRONG_IMPORTS.values() for rule in wrong.values()} == set(contracts)


def test_every_arrow_upwards_between_two_rooms_is_seen(contracts: dict[str, Any], imports: Any) -> None:
    rule = contracts["Rooms import downwards"]
    rooms = [sorted(part.name for part in layer.module_tails) for layer in rule.layers]
    for upper, lower in itertools.combinations(rooms, 2):
        graph = copy.deepcopy(imports)
        graph.add_import(importer=f"yolocli.{lower[0]}", imported=f"yolocli.{upper[0]}")
        assert not rule.check(graph, verbose=False).kept, f"{lower} may import {upper}"


def test_a_room_that_is_not_in_the_contract_breaks_it(contracts: dict[str, Any], imports: Any) -> None:
    graph = copy.deepcopy(imports)
    graph.add_module("yolocli.attic")
    assert broken(contracts, graph) == {"Rooms import downwards"}


def test_files_and_functions_are_short() -> None:
    files = {file: file.read_text() for file in sorted((REPOSITORY / "yolocli").rglob("*.py"))}
    functions = {
        f"{file}: {node.name}": lines_of_code(node)
        for file, text in files.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
    }
    assert [file for file, text in files.items() if text.count("\n") > MOST_LINES] == []
    assert [name for name, lines in functions.items() if lines > MOST_LINES_OF_A_FUNCTION] == []


def lines_of_code(function: ast.FunctionDef) -> int:
    """Returns how long a function is, without its docstring, and without the options that a command declares."""
    docstring = function.body[0] if ast.get_docstring(function) is not None else None
    declared = [arg for arg in function.args.args if arg.annotation and "options." in ast.unparse(arg.annotation)]
    lines = (function.end_lineno or 0) - function.lineno + 1 - len(declared)
    return lines - ((docstring.end_lineno or 0) - docstring.lineno + 1 if docstring else 0)


def test_types_are_published() -> None:
    assert (REPOSITORY / "yolocli/py.typed").exists()
