"""Single-cell images in a grid."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellprism import _keys
from cellprism.pl._cell_values import cell_values
from cellprism.pl._channel_legend import channel_legend
from cellprism.pl._display import PERCENTILES, Channels, Contrast, choose_display
from cellprism.pl._image_data import read_images
from cellprism.pl._montage import corner, montage
from cellprism.pl._show import show_figure

if TYPE_CHECKING:
    import anndata
    import matplotlib.axes

_TILE = 0.65
"""Width of one image in inches."""


def images(
    data: "anndata.AnnData | np.ndarray",
    groupby: str | Sequence | np.ndarray | pd.Series | pd.Categorical | None = None,
    *,
    sort_by: str | Sequence | np.ndarray | pd.Series | None = None,
    key: str = _keys.IMAGE,
    channels: Channels = None,
    contrast: Contrast = PERCENTILES,
    n_cells: int = 24,
    n_columns: int = 12,
    titles: str | Sequence | np.ndarray | pd.Series | None = None,
    ax: "Sequence[matplotlib.axes.Axes] | np.ndarray | matplotlib.axes.Axes | None" = None,
    show: bool | None = None,
) -> np.ndarray:
    """Draw images of single cells, one panel per group, channels as colours.

    Of every group the same cells are drawn at every call, at random. The contrast is shared by all cells, so
    that brightness can be compared.

    Parameters
    ----------
    data
        AnnData with images in ``.obsm[key]`` and names of their channels in ``.uns["channels"]``, or the images:
        cells x channels x height x width.
    groupby
        Column of ``.obs``, or one value per cell: a panel for each. Cells without a value are left out.
    sort_by
        Column of ``.obs``, or one value per cell, by which the cells of a panel are ordered.
    key
        ``.obsm`` key of the images.
    channels
        Names of the channels, or channel to colour, as ``{"DNA": "blue", "pH3": "orange"}``. All by default: one in
        grey, two in magenta and green, more in colours that can be told apart. Channels of an array are
        called ``channel 0`` and so on.
    contrast
        Percentiles of each channel, over all cells, that are drawn black and in full colour; or these values
        themselves, by channel, as ``{"DNA": (10, 200)}``.
    n_cells
        How many cells of each group to draw, at most.
    n_columns
        How many of them to a row.
    titles
        Column of ``.obs``, or one value per cell, to write into each image.
    ax
        One axes per group to draw into. A new figure by default.
    show
        Call ``plt.show()``. By default only for a new figure in an interactive session.

    Returns
    -------
    Array of the axes, one per group.

    Raises
    ------
    KeyError
        If a slot or column is not found.
    ValueError
        If shapes, channels, contrast or axes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> pixels = np.random.default_rng(0).random((6, 2, 8, 8))
    >>> panels = images(pixels, ["G1", "S", "G1", "S", "M", "G1"], show=False)
    >>> [panel.get_title(loc="left") for panel in panels]
    ['G1', 'M', 'S']
    """
    cells = read_images(data, key)
    display = choose_display(cells, channels, contrast)
    sort_values = cell_values(data, sort_by, len(cells), noun="values to sort by")
    groups = _groups(cell_values(data, groupby, len(cells), noun="groups"), sort_values, len(cells), n_cells)
    texts = cell_values(data, titles, len(cells), noun="titles")
    own_figure = ax is None
    panels = _new_panels(list(groups.values()), n_columns, cells.pixels.shape[2:]) if own_figure else _given(ax, groups)
    for panel, (name, chosen) in zip(panels, groups.items(), strict=True):
        _draw(panel, display.compose(cells.pixels[chosen]), n_columns, name)
        if texts is not None:
            _write(panel, texts.iloc[chosen], n_columns, cells.pixels.shape[2:])
    channel_legend(panels[0], display)
    show_figure(show, own_figure=own_figure)
    return panels


def _groups(values: pd.Series | None, sort_values: pd.Series | None, n_all: int, n_cells: int) -> dict[str, np.ndarray]:
    """Choose the cells of every group, in the order in which they are drawn."""
    categories = pd.Categorical(np.zeros(n_all) if values is None else values)
    shuffled = np.random.default_rng(0).permutation(n_all)
    chosen = {}
    for code in np.unique(categories.codes[categories.codes >= 0]):
        cells = np.sort(shuffled[categories.codes[shuffled] == code][:n_cells])
        if sort_values is not None:
            cells = cells[sort_values.iloc[cells].reset_index(drop=True).sort_values(kind="stable").index]
        name = categories.categories[code]
        chosen["" if values is None else _title(values.name, name)] = cells
    if not chosen:
        raise ValueError("Found no cell to draw, expected at least one with a group.")
    return chosen


def _title(column: Any, name: Any) -> str:
    """Name a group by its value, and by its column as well where the value alone says little."""
    return name if isinstance(name, str) or column is None else f"{column}: {name}"


def _given(ax: Any, groups: dict[str, np.ndarray]) -> np.ndarray:
    panels = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if len(panels) != len(groups):
        raise ValueError(f"Found {len(panels)} axes for {len(groups)} groups, expected one per group: {list(groups)}.")
    return panels


def _new_panels(groups: list[np.ndarray], n_columns: int, size: tuple[int, int]) -> np.ndarray:
    import matplotlib.pyplot as plt

    height, width = size
    n_rows = [-(-len(cells) // n_columns) for cells in groups]
    n_columns = min(n_columns, max(map(len, groups)))
    inches = (n_columns * _TILE + 1.2, sum(n_rows) * _TILE * height / width + 0.3 * len(groups))
    _, grid = plt.subplots(
        len(groups), 1, figsize=inches, squeeze=False, layout="constrained", gridspec_kw={"height_ratios": n_rows}
    )
    return grid.ravel()


def _draw(panel: "matplotlib.axes.Axes", tiles: np.ndarray, n_columns: int, name: str) -> None:
    panel.imshow(montage(tiles, n_columns))
    panel.set(xticks=[], yticks=[])
    panel.spines[:].set_visible(False)
    panel.set_title(name, loc="left", fontsize="medium")
    panel.set_anchor("W")


def _write(panel: "matplotlib.axes.Axes", texts: pd.Series, n_columns: int, size: tuple[int, int]) -> None:
    from matplotlib.patheffects import withStroke

    for cell, value in enumerate(texts):
        top, left = corner(cell, min(n_columns, len(texts)), *size)
        outline = [withStroke(linewidth=1.5, foreground="black")]
        panel.text(left, top, _as_text(value), color="white", fontsize=6, va="top", path_effects=outline)


def _as_text(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
