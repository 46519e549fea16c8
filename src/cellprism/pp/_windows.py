"""Rectangles of a field of view."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Window:
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right``, ends left out; it may reach beyond the field."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    def clipped(self, shape: tuple[int, int]) -> "Window":
        """The part that lies on a field of this height and width."""
        return Window(max(self.top, 0), max(self.left, 0), min(self.bottom, shape[0]), min(self.right, shape[1]))

    def slices(self, origin: "Window | None" = None) -> tuple[slice, slice]:
        """Rows and columns, counted from the corner of ``origin``, or of the field."""
        top, left = (origin.top, origin.left) if origin is not None else (0, 0)
        return slice(self.top - top, self.bottom - top), slice(self.left - left, self.right - left)


def blocks(shape: tuple[int, int], side: int) -> Iterator[Window]:
    """Cover a field of this height and width with squares that do not overlap, row by row."""
    for top in range(0, shape[0], side):
        for left in range(0, shape[1], side):
            yield Window(top, left, top + side, left + side).clipped(shape)


def hull(windows: list[Window]) -> Window:
    """Smallest window that holds all of these."""
    return Window(
        min(window.top for window in windows),
        min(window.left for window in windows),
        max(window.bottom for window in windows),
        max(window.right for window in windows),
    )


def cut(block: np.ndarray, origin: Window, window: Window) -> np.ndarray:
    """Pixels of ``window`` out of a block that lies at ``origin``; zeros where the window leaves the block."""
    crop = np.zeros((*block.shape[:-2], *window.shape), dtype=block.dtype)
    inside = Window(
        max(window.top, origin.top),
        max(window.left, origin.left),
        min(window.bottom, origin.bottom),
        min(window.right, origin.right),
    )
    crop[(..., *inside.slices(window))] = block[(..., *inside.slices(origin))]
    return crop
