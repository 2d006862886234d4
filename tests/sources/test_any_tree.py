"""What holds of any tree."""

from __future__ import annotations

import contextlib
import glob
import os
import stat
import sys
import tempfile

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sources.support import bounded_memory, find, paths
from yolocli.results import ImageRef
from yolocli.sources.patterns import expand
from yolocli.sources.suffixes import IMAGE_SUFFIXES
from yolocli.sources.walk import IGNORE_FILE

_parts = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=6
).filter(lambda part: not part.startswith("."))

_trees = st.lists(
    st.tuples(st.lists(_parts, max_size=3), _parts, st.sampled_from([".jpg", ".PNG", ".txt", ""])), max_size=12
)


def _grow(root: str, tree: list[tuple[list[str], str, str]]) -> None:
    for folders, stem, suffix in tree:
        path = os.path.join(root, *folders, stem + suffix)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb"):
                pass
        except OSError:  # a file where a folder should be, or the other way round
            continue


@settings(max_examples=60, deadline=None)
@given(tree=_trees, shuffle=st.randoms(use_true_random=False))
def test_any_tree_gives_each_image_once_in_an_order_of_its_own(
    tree: list[tuple[list[str], str, str]], shuffle: object
) -> None:
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        _grow(first, tree)
        there = sorted(
            os.path.relpath(os.path.join(folder, name), first)
            for folder, _, names in os.walk(first)
            for name in names
            if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES
        )
        found = paths(first)
        # what lies in a folder called ~ is put aside, as `names` says
        assert sorted(found) == sorted(f"~/{path}" if path.startswith("~/") else path for path in there)
        again = [(os.path.dirname(path).split("/"), os.path.basename(path), "") for path in there]
        shuffle.shuffle(again)  # type: ignore[attr-defined]
        _grow(second, again)
        assert paths(second) == found
        overlapping = [first, *(os.path.join(first, path) for path in there)]
        shuffle.shuffle(overlapping)  # type: ignore[attr-defined]
        sources = [item.source for item in find(*overlapping)]
        assert sorted(os.path.relpath(source, first) for source in sources) == there
        assert len({item.path for item in find(*overlapping)}) == len(there)


_wild = st.lists(
    st.sampled_from(["**", "*", "a", "b", "?", "[ab]*", ".*", "a*.jpg", ".", ".."]), min_size=1, max_size=4
)


@settings(max_examples=60, deadline=None)
@given(
    tree=st.lists(
        st.lists(st.sampled_from(["a", "b", ".h", "ab", "a.jpg", ".x.jpg"]), min_size=1, max_size=4), max_size=8
    ),
    parts=_wild,
    hidden=st.booleans(),
)
def test_a_pattern_matches_what_it_does_for_glob(tree: list[list[str]], parts: list[str], hidden: bool) -> None:
    if hidden and sys.version_info < (3, 11):
        return
    options = {"include_hidden": True} if hidden else {}
    with tempfile.TemporaryDirectory() as temporary:
        root = os.path.join(temporary, "1/2/3/4")  # or '..' and '**' would look at the whole disk
        os.makedirs(root)
        _grow(root, [(path[:-1], path[-1], "") for path in tree])
        pattern = os.path.join(root, *parts)
        expected = glob.glob(pattern, recursive=True, **options) if glob.has_magic(pattern) else []
        found = expand(pattern, hidden=hidden, follow=True, notice=str) if glob.has_magic(pattern) else []
        assert {os.path.realpath(path) for path in found if os.path.isfile(path)} == {
            os.path.realpath(path) for path in expected if os.path.isfile(path)
        }
        assert found == sorted(found, key=os.fsencode)
        if not {"**", ".."} & set(parts):  # of two ways to one folder, one is taken
            assert found == sorted(expected, key=os.fsencode)


_kinds = st.sampled_from(["file", "file", "folder", "fifo", "device", "link", "loop", "ignore fifo", "ignore zero"])


@settings(max_examples=40, deadline=None)
@given(
    things=st.lists(st.tuples(st.integers(0, 5), _kinds, _parts, st.integers(0, 5)), max_size=14),
    follow=st.booleans(),
)
def test_any_tree_of_links_fifos_and_devices_ends_with_each_image_once(
    things: list[tuple[int, str, str, int]], follow: bool
) -> None:
    with tempfile.TemporaryDirectory() as root:
        folders = [root]
        for where, kind, name, other in things:
            with contextlib.suppress(OSError):  # a name that is there, or too long, or a device as nobody special
                _put(folders, os.path.join(folders[where % len(folders)], name), kind, folders[other % len(folders)])
        images = {
            os.path.realpath(folder) + "/" + name
            for folder, _, names in os.walk(root)
            for name in names
            if name.endswith(".jpg")
        }
        every = f"{glob.escape(root)}/**/*.jpg"
        with bounded_memory():
            for inputs in ([root], [every], [every, root, f"{glob.escape(root)}/**"]):
                found = find(*inputs, follow_symlinks=follow, hidden=True)
                refs = [item if isinstance(item, ImageRef) else item.ref for item in found]
                sources = [ref.source for ref in refs if ref.source.endswith(".jpg")]
                assert sorted(sources) == sorted(images)
                assert len({item.path for item in found}) == len(found)


def _put(folders: list[str], path: str, kind: str, other: str) -> None:
    """Makes one thing of a tree; a link to a folder has no suffix of an image, so that images are files or devices."""
    if kind == "folder":
        os.mkdir(path)
        folders.append(path)
    elif kind == "fifo":
        os.mkfifo(f"{path}.jpg")
    elif kind == "device":
        os.mknod(f"{path}.jpg", stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero
    elif kind == "link":
        os.symlink(other, path)
    elif kind == "loop":
        os.symlink(os.path.basename(path) + ".jpg", f"{path}.jpg")
    elif kind == "ignore fifo":
        os.mkfifo(os.path.join(os.path.dirname(path), IGNORE_FILE))
    elif kind == "ignore zero":
        os.symlink("/dev/zero", os.path.join(os.path.dirname(path), IGNORE_FILE))
    else:
        write_nothing = os.open(f"{path}.jpg", os.O_CREAT | os.O_EXCL | os.O_WRONLY)  # a FIFO of this name would wait
        os.close(write_nothing)
