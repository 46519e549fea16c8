"""Cells in two dimensions, coloured by what is known of them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellprism.pl._category_colours import MISSING, category_colours, category_legend
from cellprism.pl._cell_values import cell_coordinates, cell_values, is_continuous
from cellprism.pl._show import show_figure

if TYPE_CHECKING:
    import anndata
    import matplotlib.axes
    import mudata


def embedding(
    data: "anndata.AnnData | mudata.MuData | np.ndarray",
    color: str | Sequence | np.ndarray | pd.Series | pd.Categorical | None = None,
    *,
    basis: str = "X_umap",
    cmap: Any = None,
    size: float | None = None,
    ax: "matplotlib.axes.Axes | None" = None,
    show: bool | None = None,
) -> "matplotlib.axes.Axes":
    """Scatter cells in two dimensions, coloured by a category or a number.

    Cells are drawn in random but fixed order, so that no group hides another. Cells without a colour
    (missing) are grey and lie below.

    Parameters
    ----------
    data
        AnnData or MuData whose ``.obsm[basis]`` holds coordinates, or the coordinates: cells x 2 or more, of
        which the first two are drawn.
    color
        Column of ``.obs``, or one value per cell. Numbers are drawn on a continuous scale; text, booleans and
        categories each get a colour.
    basis
        ``.obsm`` key of the coordinates.
    cmap
        Name of a matplotlib colour map, or a colour map. By default viridis for numbers and tab10 or tab20
        for categories.
    size
        Area of a point, in points squared. By default smaller for more cells.
    ax
        Axes to draw into. A new figure by default.
    show
        Call ``plt.show()``. By default only for a new figure in an interactive session.

    Returns
    -------
    The axes.

    Raises
    ------
    KeyError
        If ``basis`` or ``color`` is not found.
    ValueError
        If there are no two coordinates per cell, or not one colour per cell.

    Examples
    --------
    >>> import numpy as np
    >>> axes = embedding(np.array([[0.0, 0.0], [1.0, 1.0]]), ["rna", "atac"], show=False)
    >>> [text.get_text() for text in axes.get_legend().get_texts()]
    ['atac', 'rna']
    """
    import matplotlib.pyplot as plt

    coordinates = cell_coordinates(data, basis)
    values = cell_values(data, color, len(coordinates), noun="colours")
    size = float(np.clip(20_000 / max(len(coordinates), 1), 3, 40)) if size is None else size
    own_figure = ax is None
    if own_figure:
        _, ax = plt.subplots(figsize=(5, 4.2), layout="constrained")
    if values is None:
        ax.scatter(coordinates[:, 0], coordinates[:, 1], s=size, color="0.5", linewidths=0)
    elif is_continuous(values):
        _scatter_numbers(ax, coordinates, values.to_numpy(dtype=float), cmap, size)
    else:
        _scatter_categories(ax, coordinates, pd.Categorical(values), cmap, size)
    name = "dimension" if isinstance(data, np.ndarray) else basis.removeprefix("X_").upper()
    ax.set(xlabel=f"{name} 1", ylabel=f"{name} 2", xticks=[], yticks=[])
    ax.set_title(color if isinstance(color, str) else "")
    show_figure(show, own_figure=own_figure)
    return ax


def _scatter_numbers(
    ax: "matplotlib.axes.Axes", coordinates: np.ndarray, values: np.ndarray, cmap: Any, size: float
) -> None:
    known = np.isfinite(values)
    ax.scatter(*coordinates[~known].T, s=size, color=MISSING, linewidths=0)
    order = np.random.default_rng(0).permutation(np.flatnonzero(known))
    points = ax.scatter(*coordinates[order].T, c=values[order], s=size, cmap=cmap or "viridis", linewidths=0)
    ax.figure.colorbar(points, ax=ax, shrink=0.8)


def _scatter_categories(
    ax: "matplotlib.axes.Axes", coordinates: np.ndarray, values: pd.Categorical, cmap: Any, size: float
) -> None:
    colours = category_colours(len(values.categories), cmap)
    known = values.codes >= 0
    ax.scatter(*coordinates[~known].T, s=size, color=MISSING, linewidths=0)
    order = np.random.default_rng(0).permutation(np.flatnonzero(known))
    ax.scatter(*coordinates[order].T, c=colours[values.codes[order]], s=size, linewidths=0)
    used = np.unique(values.codes[known])
    category_legend(ax, values.categories[used], colours[used], has_missing=not known.all())
