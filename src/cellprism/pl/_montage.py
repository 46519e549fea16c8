"""Images of cells laid side by side in one picture."""

import numpy as np

GAP = 1
"""Width of the white line between images, in pixels."""


def montage(tiles: np.ndarray, n_columns: int) -> np.ndarray:
    """Lay cells x height x width x (red, green, blue) out in rows of ``n_columns``, white between and after them."""
    n_cells, height, width, _ = tiles.shape
    n_columns = min(n_columns, n_cells)
    n_rows = -(-n_cells // n_columns)
    canvas = np.ones((n_rows * (height + GAP) - GAP, n_columns * (width + GAP) - GAP, 3), dtype=tiles.dtype)
    for cell, tile in enumerate(tiles):
        top, left = corner(cell, n_columns, height, width)
        canvas[top : top + height, left : left + width] = tile
    return canvas


def corner(cell: int, n_columns: int, height: int, width: int) -> tuple[int, int]:
    """Give the row and column of the montage at which a cell's image begins."""
    row, column = divmod(cell, n_columns)
    return row * (height + GAP), column * (width + GAP)
