"""Single-cell images where their cells lie in two dimensions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellprism import _keys
from cellprism.pl._category_colours import MISSING, category_colours, category_legend
from cellprism.pl._cell_values import cell_coordinates, cell_values, is_continuous
from cellprism.pl._channel_legend import channel_legend
from cellprism.pl._display import PERCENTILES, Channels, Contrast, choose_display
from cellprism.pl._image_data import read_images
from cellprism.pl._show import show_figure
from cellprism.pl._thumbnail_grid import ThumbnailGrid

if TYPE_CHECKING:
    import anndata
    import matplotlib.axes


def image_umap(
    data: "anndata.AnnData | np.ndarray",
    color: str | Sequence | np.ndarray | pd.Series | pd.Categorical | None = None,
    *,
    basis: str | np.ndarray = "X_umap",
    key: str = _keys.IMAGE,
    channels: Channels = None,
    contrast: Contrast = PERCENTILES,
    n_grid: int = 20,
    cmap: Any = None,
    ax: "matplotlib.axes.Axes | None" = None,
    show: bool | None = None,
) -> "matplotlib.axes.Axes":
    """Draw images of single cells at their place in an embedding.

    A grid is laid over the embedding. Every square that holds cells shows the one nearest to its centre, so
    that images cover the embedding without covering each other.

    Parameters
    ----------
    data
        AnnData with images in ``.obsm[key]``, or the images: cells x channels x height x width.
    color
        Column of ``.obs``, or one value per cell, that colours the frames. Numbers on a continuous scale; text,
        booleans and categories each get a colour. No frames by default.
    basis
        ``.obsm`` key of the embedding, or coordinates: cells x 2 or more, of which the first two are used. Cells
        without coordinates (NaN) are left out.
    key
        ``.obsm`` key of the images.
    channels
        Names of the channels, or channel to colour. All by default: one in grey, two in magenta and green, more in
        colours that can be told apart.
    contrast
        Percentiles of each channel, over all cells, that are drawn black and in full colour; or these values
        themselves, by channel.
    n_grid
        Number of grid squares along either side.
    cmap
        Colour map of the frames. By default viridis for numbers and tab10 or tab20 for categories.
    ax
        Axes to draw into. A new figure by default.
    show
        Call ``plt.show()``. By default only for a new figure in an interactive session.

    Returns
    -------
    The axes, in coordinates of the embedding.

    Raises
    ------
    KeyError
        If a slot or column is not found.
    ValueError
        If shapes or channels do not fit, or no cell has coordinates.

    Examples
    --------
    >>> import numpy as np
    >>> random = np.random.default_rng(0)
    >>> axes = image_umap(random.random((9, 1, 8, 8)), basis=random.normal(size=(9, 2)), show=False)
    >>> len(axes.images)
    1
    """
    images = read_images(data, key)
    coordinates = _coordinates(data, basis, len(images))
    values = cell_values(data, color, len(images), noun="colours")
    display = choose_display(images, channels, contrast)
    grid = ThumbnailGrid.over(coordinates, n_grid)
    cells = grid.nearest_cells(coordinates)
    own_figure = ax is None
    ax = _new_panel() if own_figure else ax
    frames = None if values is None else _frames(ax, values, cells, cmap)
    canvas = grid.draw(display.compose(images.pixels[cells]), grid.squares(coordinates[cells]), frames)
    _draw(ax, canvas, grid.extent)
    if len(display.names) > 1:
        channel_legend(ax, display)
    name = basis.removeprefix("X_").upper() if isinstance(basis, str) else "dimension"
    ax.set(xlabel=f"{name} 1", ylabel=f"{name} 2", xticks=[], yticks=[])
    ax.set_title(color if isinstance(color, str) else "")
    show_figure(show, own_figure=own_figure)
    return ax


def _coordinates(data: "anndata.AnnData | np.ndarray", basis: str | np.ndarray, n_cells: int) -> np.ndarray:
    if isinstance(basis, str) and isinstance(data, np.ndarray):
        raise ValueError(f"Found an array of images and basis={basis!r}, expected coordinates. Pass basis=coordinates.")
    coordinates = cell_coordinates(data, basis) if isinstance(basis, str) else cell_coordinates(basis, "")
    if len(coordinates) != n_cells:
        raise ValueError(f"Found {len(coordinates)} coordinates for {n_cells} images, expected one pair per cell.")
    if not np.isfinite(coordinates).all(axis=1).any():
        raise ValueError("Found no cell with finite coordinates, expected at least one.")
    return coordinates


def _new_panel() -> "matplotlib.axes.Axes":
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(7.5, 6.5), layout="constrained")[1]


def _draw(ax: "matplotlib.axes.Axes", canvas: np.ndarray, extent: tuple[float, float, float, float]) -> None:
    """Draw so that pixels are square, whatever the units of the two dimensions."""
    left, right, bottom, top = extent
    pixel_width, pixel_height = (right - left) / canvas.shape[1], (top - bottom) / canvas.shape[0]
    ax.imshow(canvas, extent=extent, aspect=pixel_width / pixel_height)
    ax.spines[:].set_color("0.7")


def _frames(ax: "matplotlib.axes.Axes", values: pd.Series, cells: np.ndarray, cmap: Any) -> np.ndarray:
    """Give the frame colours of these cells, and explain them beside the axes."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize, to_rgba

    if is_continuous(values):
        numbers = values.to_numpy(dtype=float)
        scale = ScalarMappable(Normalize(np.nanmin(numbers), np.nanmax(numbers)), cmap or "viridis")
        ax.figure.colorbar(scale, ax=ax, shrink=0.8)
        known, colours = np.isfinite(numbers[cells]), scale.to_rgba(numbers[cells])
    else:
        categories = pd.Categorical(values)
        codes, palette = categories.codes[cells], category_colours(len(categories.categories), cmap)
        used = np.unique(codes[codes >= 0])
        category_legend(ax, categories.categories[used], palette[used], has_missing=bool((codes < 0).any()))
        known, colours = codes >= 0, palette[codes]
    return np.where(known[:, None], colours, to_rgba(MISSING))
