"""Outlines of masks: what is a hole, and the pixels they cover."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from yolocli.images.masks import Mask, outlines
from yolocli.images.rings import Ring, area, depths, fill, trace

masks = arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 1))


def _rings(pixels: NDArray[np.uint8]) -> list[Ring]:
    return [[(float(x), float(y)) for x, y in ring.tolist()] for ring in outlines(Mask(pixels, 0, 0))]


def _pixels(edges: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    flat = np.zeros(shape[0] * shape[1], np.uint8)
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        flat[start:end] = 1
    return flat.reshape(shape[::-1]).T


@settings(max_examples=300, deadline=None)
@given(masks)
def test_outlines_and_run_lengths_are_the_same_mask(pixels: NDArray[np.uint8]) -> None:
    rings, (height, width) = _rings(pixels), pixels.shape
    if rings:
        edges = fill(rings, width, height)
        assert np.array_equal(_pixels(edges, pixels.shape), pixels)
        assert sorted(map(tuple, trace(edges, height))) == sorted(map(tuple, rings))


@settings(max_examples=300, deadline=None)
@given(masks)
def test_what_lies_in_an_odd_number_of_others_is_a_hole(pixels: NDArray[np.uint8]) -> None:
    """As OpenCV knows it, which has seen the pixels."""
    _, tree = cv2.findContours(pixels, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if tree is not None:
        assert [depth % 2 == 1 for depth in depths(_rings(pixels))] == [int(parent) >= 0 for *_, parent in tree[0]]


def test_a_mask_of_a_thousand_specks_takes_no_time() -> None:
    pixels = np.zeros((100, 100), np.uint8)
    pixels[::3, ::3] = 1
    rings = _rings(pixels)
    begin = time.perf_counter()
    assert depths(rings) == [0] * 34 * 34
    assert time.perf_counter() - begin < 2


@pytest.mark.parametrize(
    ("ring", "expected"), [([(0, 0), (0, 2), (3, 2), (3, 0)], 6), ([(1, 1)], 0), ([(0, 0), (2, 2)], 0)]
)
def test_the_area_is_what_a_ring_encloses(ring: Ring, expected: float) -> None:
    assert area(ring) == area(ring[::-1]) == expected
