"""docs/glossary.md: one word for each thing. The page names what exists, and no name in the code is a synonym."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "glossary.md"
FOLDERS = (ROOT / "webhook_app", ROOT / "workers")


@dataclass(frozen=True)
class Entry:
    word: str
    is_alone: bool
    """Whether the word names one class or function alone."""
    references: tuple[str, ...]
    """`path:Name`, or `path`."""
    forbidden: tuple[str, ...]

    def __str__(self) -> str:
        return self.word


def read_entries(page: str) -> list[Entry]:
    words = page.split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in words.splitlines() if line[:2] == "| "]
    return [
        Entry(word.strip("*"), word.startswith("**"), tuple(quoted(where)), tuple(quoted(not_these)))
        for word, _, where, not_these in rows[1:]
    ]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


ENTRIES = read_entries(PAGE.read_text())
PUBLISHED = {
    name
    for line in PAGE.read_text().split("## Published names")[1].splitlines()
    if line[:2] == "| "
    for name in quoted(line.split("|")[1])
}


@cache
def trees() -> Mapping[Path, ast.Module]:
    return {path: ast.parse(path.read_text()) for folder in FOLDERS for path in sorted(folder.rglob("*.py"))}


def definitions(tree: ast.Module) -> set[str]:
    """The classes and functions of a module."""
    return {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}


def bound_names(tree: ast.Module) -> Iterator[str]:
    """Every name that the module gives: to a class, function, parameter, variable, attribute or import."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=str(name)) | ast.ClassDef(name=str(name)) | ast.arg(arg=str(name)):
                yield name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name
            case ast.alias(asname=str(name)) | ast.MatchAs(name=str(name)) | ast.ExceptHandler(name=str(name)):
                yield name


def words_in(name: str) -> set[str]:
    """`_MOST_ANOMALIES` and `MostAnomalies` are both `most` and `anomalies`, and so `anomaly` too."""
    words = {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}
    return words | {word.removesuffix("s") for word in words} | {re.sub("ies$", "y", word) for word in words}


def synonyms(names: Iterator[str], forbidden: set[str]) -> list[str]:
    return [name for name in names if words_in(name) & forbidden and name not in PUBLISHED]


def test_each_word_stands_once_and_in_order() -> None:
    words = [entry.word for entry in ENTRIES]
    assert len(words) > 50
    assert words == sorted(set(words))


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
def test_what_the_page_names_exists(entry: Entry) -> None:
    assert entry.references
    for reference in entry.references:
        path, _, name = reference.partition(":")
        folder = ROOT if path.startswith("workers/") else ROOT / "webhook_app"
        assert (folder / path).is_file(), reference
        assert not name or name in definitions(trees()[folder / path]), reference


def test_no_name_in_the_code_is_a_synonym() -> None:
    forbidden = {word for entry in ENTRIES for word in entry.forbidden}
    assert {"anomaly", "moment", "place"} <= forbidden
    for path, tree in trees().items():
        found = synonyms(iter([path.stem, *bound_names(tree)]), forbidden)
        assert not found, f"{path.relative_to(ROOT)}: {found}, see docs/glossary.md"


def test_published_names_are_still_used() -> None:
    assert {name for tree in trees().values() for name in bound_names(tree)} >= PUBLISHED


def test_word_in_bold_names_one_thing_alone() -> None:
    alone = {entry.word: entry for entry in ENTRIES if entry.is_alone}
    assert alone.keys() >= {"action", "answer", "outcome", "record", "release", "reopen", "request", "step", "verdict"}
    for path, tree in trees().items():
        for name in definitions(tree):
            entry = alone.get(name.lower())
            owner = path.relative_to(ROOT / "webhook_app") if path.is_relative_to(ROOT / "webhook_app") else path
            assert entry is None or f"{owner}:{name}" in entry.references, f"{owner} has another {name}"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("anomalies = 1", []),  # published
        ("def note_anomaly(): ...", ["note_anomaly"]),
        ("class AnomalyReport: ...", ["AnomalyReport"]),
        ("def f(moment): ...", ["moment"]),
        ("self._MOST_PLACES = 1", ["_MOST_PLACES"]),
        ("for first_moment in range(2): ...", ["first_moment"]),
        ("import a as moment", ["moment"]),
        ("replaced = text.replace(placeholder)", []),
        ("f(moment=1)\nx.moment()\n'moment'", []),  # names of others
    ],
)
def test_synonym_is_found_wherever_a_name_is_given(source: str, found: list[str]) -> None:
    assert synonyms(bound_names(ast.parse(source)), {"anomaly", "moment", "place"}) == found
