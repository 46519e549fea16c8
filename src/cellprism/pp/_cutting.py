"""Cut windows around cells out of a field, a block of it in memory at a time."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm import tqdm

from cellprism.pp._field import Field
from cellprism.pp._regions import shape_properties
from cellprism.pp._windows import Window, cut, hull


@dataclass(frozen=True)
class Cell:
    """Where one cell lies on the field and which window is cut out around it."""

    label: int
    box: Window
    window: Window


@dataclass(frozen=True)
class Crops:
    """What is cut out and measured, a row per cell: (cells, channels, height, width) and (cells, channels)."""

    images: np.ndarray
    masks: np.ndarray
    means: np.ndarray
    properties: pd.DataFrame


@dataclass(frozen=True)
class Masking:
    """Which pixels that are not the cell's are set to zero."""

    neighbors: bool
    background: bool

    def apply(self, image: np.ndarray, labels: np.ndarray, label: int) -> None:
        """Set them to zero in a crop of (channels, height, width)."""
        is_other = (labels != label) & (labels != 0)
        is_hidden = (is_other & self.neighbors) | ((labels == 0) & self.background)
        image[:, is_hidden] = 0


def cut_cells(
    field: Field, labels: Field, cells: list[Cell], *, masking: Masking, block_size: int, progress: bool
) -> Crops:
    """Cut out and measure every cell; rows come in the order of ``cells``."""
    height, width = cells[0].window.shape
    images = np.zeros((len(cells), field.n_channels, height, width), dtype=field.dtype)
    masks = np.zeros((len(cells), 1, height, width), dtype=bool)
    means = np.zeros((len(cells), field.n_channels))
    properties: list[dict[str, float]] = [{}] * len(cells)
    with tqdm(total=len(cells), desc="crop_cells", unit="cell", disable=not progress) as bar:
        for rows in _groups(cells, block_size):
            extent = hull([part for row in rows for part in (cells[row].box, cells[row].window)]).clipped(field.shape)
            pixels, numbers = field.read(extent), labels.read(extent)[0]
            for row in rows:
                cell = cells[row]
                images[row] = cut(pixels, extent, cell.window)
                crop_labels = cut(numbers, extent, cell.window)
                masks[row, 0] = crop_labels == cell.label
                masking.apply(images[row], crop_labels, cell.label)
                means[row], properties[row] = _measure(pixels, numbers, extent, cell)
            bar.update(len(rows))
    return Crops(images, masks, means, pd.DataFrame(properties))


def _groups(cells: list[Cell], block_size: int) -> Iterator[np.ndarray]:
    """Rows of cells whose centres lie in one block of the field."""
    centres = np.array([(cell.box.top + cell.box.bottom, cell.box.left + cell.box.right) for cell in cells]) // 2
    yield from pd.DataFrame(centres // block_size).groupby([0, 1]).indices.values()


def _measure(
    pixels: np.ndarray, numbers: np.ndarray, extent: Window, cell: Cell
) -> tuple[np.ndarray, dict[str, float]]:
    """Mean of every channel over the whole cell, cut or not, and the shape of its mask."""
    rows, columns = cell.box.slices(extent)
    mask = numbers[rows, columns] == cell.label
    properties = shape_properties(mask)
    properties["centroid_y"] += cell.box.top
    properties["centroid_x"] += cell.box.left
    return pixels[:, rows, columns][:, mask].mean(axis=1, dtype=np.float64), properties
