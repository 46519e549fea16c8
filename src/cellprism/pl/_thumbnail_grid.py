"""Images at their place in two dimensions, one to a square of a grid."""

from dataclasses import dataclass

import numpy as np

GAP = 0.06
"""Width of the empty line between images, as a share of an image's width."""

FRAME = 0.08
"""Width of a frame, as a share of an image's width."""


@dataclass(frozen=True)
class ThumbnailGrid:
    """Squares over an embedding: the same number along either side.

    Parameters
    ----------
    origin
        Smallest coordinates.
    span
        Width and height of the embedding.
    n_squares
        Number of squares along either side.
    """

    origin: np.ndarray
    span: np.ndarray
    n_squares: int

    @classmethod
    def over(cls, coordinates: np.ndarray, n_squares: int) -> "ThumbnailGrid":
        """Lay the grid over all cells that have coordinates."""
        low, high = np.nanmin(coordinates, axis=0), np.nanmax(coordinates, axis=0)
        return cls(low, np.where(high > low, high - low, 1.0), n_squares)

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, bottom and top in coordinates of the embedding."""
        (left, bottom), (right, top) = self.origin, self.origin + self.span
        return float(left), float(right), float(bottom), float(top)

    def squares(self, coordinates: np.ndarray) -> np.ndarray:
        """Give the square of each cell as (column from the left, row from the bottom)."""
        return np.minimum(self._in_squares(coordinates).astype(int), self.n_squares - 1)

    def nearest_cells(self, coordinates: np.ndarray) -> np.ndarray:
        """Give, for every square that holds cells, the one nearest to its centre."""
        known = np.flatnonzero(np.isfinite(coordinates).all(axis=1))
        squares = self.squares(coordinates[known])
        distances = np.linalg.norm(self._in_squares(coordinates[known]) - squares - 0.5, axis=1)
        order = np.argsort(distances, kind="stable")
        _, first = np.unique(squares[order] @ [1, self.n_squares], return_index=True)
        return known[order[first]]

    def draw(self, tiles: np.ndarray, squares: np.ndarray, frames: np.ndarray | None) -> np.ndarray:
        """Paint tiles, with frames if there are any, as rows x columns x (red, green, blue, opacity)."""
        _, height, width, _ = tiles.shape
        frame = 0 if frames is None else max(1, round(FRAME * width))
        gap = max(1, round(GAP * width))
        outer = np.array([height, width]) + 2 * frame
        canvas = np.zeros((*(self.n_squares * (outer + gap)), 4), dtype=np.float32)
        for cell, (column, row) in enumerate(squares):
            top, left = np.array([self.n_squares - 1 - row, column]) * (outer + gap)
            if frames is not None:
                canvas[top : top + outer[0], left : left + outer[1]] = frames[cell]
            inner = canvas[top + frame : top + frame + height, left + frame : left + frame + width]
            inner[..., :3], inner[..., 3] = tiles[cell], 1
        return canvas

    def _in_squares(self, coordinates: np.ndarray) -> np.ndarray:
        return (coordinates - self.origin) / self.span * self.n_squares
