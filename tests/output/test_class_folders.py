"""What the folders of classes are called."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolocli.output.places import NOTHING_FOUND, ClassFolders

WRONG_ON_WINDOWS = set('<>:"/\\|?*') | {chr(code) for code in range(32)}
DEVICES = {"con", "prn", "aux", "nul", *(f"{name}{digit}" for name in ("com", "lpt") for digit in "0123456789¹²³")}
names = st.one_of(
    st.text(max_size=40),
    st.text(st.sampled_from("aAbB./\\~% :é\u0301\udcff\0"), max_size=6),
    st.sampled_from(["", ".", "..", "con", "CON.txt", "nul", NOTHING_FOUND, "x" * 300, "人" * 99]),
)


def folders(*classes: str) -> list[str]:
    named = ClassFolders(dict(enumerate(classes)))
    return [named.name(index, name) for index, name in enumerate(classes)]


@pytest.mark.parametrize(
    "name", ["person", "traffic light", "Person", "T-shirt (red), 2.5 l", "人", "čeština", "a;b", "🐈"]
)
def test_a_usual_name_is_kept(name: str) -> None:
    assert folders("other", name) == ["other", name]


def test_what_a_folder_cannot_be_called_is_encoded() -> None:
    assert folders("a/b", "..", ".x", "50%", "") == ["a%2Fb", "%2E~1", "%2Ex", "50%25", "~4"]
    assert folders("con", "Aux.txt", "nul.", "Nothing-Found", "a ") == [
        "con~0",
        "Aux%2Etxt~1",
        "nul~2",
        "Nothing-Found~3",
        "a~4",
    ]


def test_classes_that_would_share_a_folder_have_their_index() -> None:
    assert folders("dog", "Dog", "cat", "dog") == ["dog~0", "Dog~1", "cat", "dog~3"]
    assert folders("\u00e9", "e\u0301") == ["\u00e9~0", "e\u0301~1"]


@given(st.lists(names, max_size=6))
def test_every_class_has_a_folder_of_its_own_on_every_disk(classes: list[str]) -> None:
    found = folders(*classes)
    assert len({unicodedata.normalize("NFC", folder).casefold() for folder in found}) == len(classes)
    for folder in found:
        assert 0 < len(folder.encode()) < 255, "as UTF-8, which it always is"
        assert not set(folder) & WRONG_ON_WINDOWS
        assert not folder.endswith((".", " "))
        assert not folder.startswith((".", " "))
        assert folder.split(".")[0].lower() not in DEVICES
        assert folder.lower() != NOTHING_FOUND


def test_the_disk_takes_them(tmp_path: Path) -> None:
    for folder in folders("a/b", "..", "", "x" * 300, "人" * 99, os.fsdecode(b"\xff")):
        (tmp_path / folder).mkdir()
