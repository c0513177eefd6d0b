"""The tests' own house: who imports whom, one place for each helper, and pages that name only what is there."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
TESTS = REPOSITORY / "tests"
SUPPORT = sorted((TESTS / "support").glob("*.py"))
#: A test, or a file of tests: `tests/a/test_b.py::test_c`.
NAMED_TEST = re.compile(r"tests/[\w/]+\.py(?:::\w+)*")
PROMISES = 10


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imported_modules(tree: ast.Module) -> Iterator[str]:
    """Every module of the tests that is imported, by its whole name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "tests":
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if module_path(name).exists() else node.module for name in names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "tests")


def module_path(module: str) -> Path:
    return REPOSITORY.joinpath(*module.split(".")).with_suffix(".py")


def public_definitions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node


def test_wings_of_tests_import_what_they_share_and_never_each_other() -> None:
    forbidden = []
    for path in TESTS.rglob("*.py"):
        own = path.relative_to(TESTS).parts[0]
        for module in imported_modules(parse(path)):
            room, *_, name = module.split(".")[1:]
            if room not in {"support", own} or name.startswith("test_") or name == "conftest":
                forbidden.append(f"{path.relative_to(REPOSITORY)} imports {module}")
    assert forbidden == []


def test_each_helper_is_in_one_place_and_says_what_it_is_for() -> None:
    places, silent = Counter[str](), []
    for path in SUPPORT:
        tree = parse(path)
        silent += [path.name] * (ast.get_docstring(tree) is None)
        for node in public_definitions(tree):
            places[node.name] += node.name != "main"
            silent += [f"{path.name}: {node.name}"] * (ast.get_docstring(node) is None)
    assert [name for name, count in places.items() if count > 1] == []
    assert silent == []


def test_listeners_of_an_engine_are_taken_away_again() -> None:
    """The engine serves the next test too; `tests.support.listening` is the place that takes them away."""
    listens = re.compile(r"\bevent\.listen\(|\blistens_for\(")
    assert [path.name for path in TESTS.rglob("test_*.py") if listens.search(path.read_text())] == []


def named_tests(page: str) -> list[str]:
    return NAMED_TEST.findall((REPOSITORY / page).read_text())


def exists(test: str) -> bool:
    path, *names = test.split("::")
    if not (REPOSITORY / path).is_file():
        return False
    body: list[ast.stmt] = parse(REPOSITORY / path).body
    for name in names:
        found = [node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name]
        if not found:
            return False
        body = found[0].body
    return True


def test_each_promise_names_tests_that_exist() -> None:
    sections = re.split(r"^## (\d+)\. ", (REPOSITORY / "docs" / "promises.md").read_text(), flags=re.M)
    held = {int(number): NAMED_TEST.findall(text) for number, text in zip(sections[1::2], sections[2::2], strict=True)}
    assert [number for number in range(1, PROMISES + 1) if not held.get(number)] == []
    assert [test for test in named_tests("docs/promises.md") if not exists(test)] == []


def test_contributing_names_files_and_commands_that_exist() -> None:
    page = (REPOSITORY / "CONTRIBUTING.md").read_text()
    assert [test for test in named_tests("CONTRIBUTING.md") if not exists(test)] == []
    words = [word for word in re.findall(r"`([^`\s]+)`", page) if "/" in word or word.endswith((".md", ".py", ".toml"))]
    # `.venv/` is what `make` makes, and where it is made is its own affair.
    paths = [word.partition("::")[0] for word in words if "<" not in word and not word.startswith(("/", ".venv"))]
    assert [path for path in paths if not (REPOSITORY / path).exists()] == []
    targets = re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), flags=re.M)
    assert [command for command in re.findall(r"make ([a-z]+)", page) if command not in targets] == []
