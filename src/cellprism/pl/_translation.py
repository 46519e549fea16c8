"""Real images beside what was predicted for the same cells."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cellprism import _keys
from cellprism.pl._channel_legend import channel_labels
from cellprism.pl._display import PERCENTILES, Channels, Contrast, Display, choose_display
from cellprism.pl._predicted_images import PredictedImages, read_predicted_images
from cellprism.pl._show import show_figure

if TYPE_CHECKING:
    import anndata
    import matplotlib.axes

_TILE = 1.1
"""Height of one image in inches."""

_LARGEST_DIFFERENCE = 98
"""Percentile of the absolute differences at which the colours end."""


def translation(
    true: "anndata.AnnData | np.ndarray",
    translated: "anndata.AnnData | np.ndarray | str",
    reconstructed: "anndata.AnnData | np.ndarray | str | None" = None,
    *,
    errors: Sequence[float] | np.ndarray | None = None,
    n_cells: int = 2,
    kinds_in: Literal["columns", "rows"] = "columns",
    key: str = _keys.IMAGE,
    channels: Channels = None,
    contrast: Contrast = PERCENTILES,
    ax: "np.ndarray | Sequence[matplotlib.axes.Axes] | None" = None,
    show: bool | None = None,
) -> np.ndarray:
    """Draw real, reconstructed and translated images and the difference, for the best, median and worst cells.

    The difference is translated minus real, red where the translation is too bright, on one scale that is
    symmetric about white; of several channels it is the mean. All images share the contrast of the real ones.

    Parameters
    ----------
    true
        AnnData with images in ``.obsm[key]``, or the images: cells x channels x height x width.
    translated
        Translated images of the same cells: AnnData with them in ``.obsm[key]``, an array, or a key of
        ``true.obsm``. Between AnnDatas cells are matched by name, and those that both hold are used. Integer
        images are read as shares of their type's range (uint8: divided by 255).
    reconstructed
        Reconstructed images, given likewise. No such images are drawn by default.
    errors
        One number per cell of ``true``, smaller is better, by which cells are ranked. By default the mean
        squared error of the translated pixels of the drawn channels.
    n_cells
        How many of the best, of the median and of the worst cells to draw.
    kinds_in
        Lay real, reconstructed, translated and difference out in columns, or in rows.
    key
        ``.obsm`` key of the images.
    channels
        Names of the channels, or channel to colour. All by default.
    contrast
        Percentiles of each channel of the real images that are drawn black and in full colour; or these values,
        by channel, on the scale from 0 to 1 for integer images.
    ax
        One axes per image, in the order of the layout, to draw into. A new figure by default.
    show
        Call ``plt.show()``. By default only for a new figure in an interactive session.

    Returns
    -------
    Axes, rows x columns as laid out.

    Raises
    ------
    KeyError
        If a slot is not found.
    ValueError
        If images, errors or axes do not fit, or there are fewer than 3 x ``n_cells`` cells.

    Examples
    --------
    >>> import numpy as np
    >>> true = np.random.default_rng(0).random((9, 1, 8, 8))
    >>> panels = translation(true, np.tile(true.mean(axis=0), (9, 1, 1, 1)), n_cells=1, show=False)
    >>> [panel.get_title() for panel in panels[0]]
    ['real', 'translated', 'difference']
    """
    if kinds_in not in ("columns", "rows"):
        raise ValueError(f"Found kinds_in={kinds_in!r}, expected 'columns' or 'rows'.")
    others = {"reconstructed": reconstructed, "translated": translated}
    found = read_predicted_images(true, {name: other for name, other in others.items() if other is not None}, key)
    display = choose_display(found.real, channels, contrast)
    cell_errors = _errors(found, display, errors, len(true))
    cells = _best_median_worst(cell_errors, n_cells)
    images = {"real": found.real.pixels[cells], **{name: pixels[cells] for name, pixels in found.predicted.items()}}
    shape = (len(cells), len(images) + 1) if kinds_in == "columns" else (len(images) + 1, len(cells))
    own_figure = ax is None
    panels = _new_panels(shape, found.real.pixels.shape[2:]) if own_figure else _given_panels(ax, shape)
    _draw(panels if kinds_in == "columns" else panels.T, images, display)
    names = _cell_names(cell_errors[cells], "MSE" if errors is None else "error")
    kinds = [*images, "difference"]
    _name(panels, *((kinds, names) if kinds_in == "columns" else (names, kinds)))
    channel_labels(panels[0, 0], display)
    show_figure(show, own_figure=own_figure)
    return panels


def _errors(found: PredictedImages, display: Display, errors: Any, n_true: int) -> np.ndarray:
    """Give one error for each cell that is drawn from."""
    if errors is None:
        difference = (found.predicted["translated"] - found.real.pixels)[:, display.positions]
        return (difference**2).mean(axis=(1, 2, 3))
    if len(errors) != n_true:
        raise ValueError(f"Found {len(errors)} errors for {n_true} cells, expected one per cell.")
    return np.asarray(errors, dtype=float)[found.kept]


def _best_median_worst(errors: np.ndarray, n_cells: int) -> np.ndarray:
    """Give cells of the smallest, the middle and the largest error, each in rising order."""
    if len(errors) < 3 * n_cells:
        raise ValueError(
            f"Found {len(errors)} cells with all images, expected at least {3 * n_cells} to draw {n_cells} of the "
            "best, the median and the worst. Lower n_cells."
        )
    order = np.argsort(errors, kind="stable")
    middle = (len(order) - n_cells) // 2
    return np.concatenate([order[:n_cells], order[middle : middle + n_cells], order[len(order) - n_cells :]])


def _cell_names(errors: np.ndarray, score: str) -> list[str]:
    ranks = np.repeat(["best", "median", "worst"], len(errors) // 3)
    return [f"{rank}\n{score} {error:.2g}" for rank, error in zip(ranks, errors, strict=True)]


def _new_panels(shape: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    import matplotlib.pyplot as plt

    n_rows, n_columns = shape
    inches = (n_columns * _TILE * size[1] / size[0] + 1.4, n_rows * _TILE + 0.6)
    _, panels = plt.subplots(n_rows, n_columns, figsize=inches, squeeze=False, layout="constrained")
    return panels


def _given_panels(ax: Any, shape: tuple[int, int]) -> np.ndarray:
    panels = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if len(panels) != shape[0] * shape[1]:
        raise ValueError(f"Found {len(panels)} axes, expected {shape[0]} rows x {shape[1]} columns.")
    return panels.reshape(shape)


def _draw(by_cell: np.ndarray, images: dict[str, np.ndarray], display: Display) -> None:
    """Draw cells x kinds, the difference last, with its scale."""
    for panels, pixels in zip(by_cell.T, images.values(), strict=False):
        for panel, tile in zip(panels, display.compose(pixels), strict=True):
            panel.imshow(tile)
    difference = (images["translated"] - images["real"])[:, display.positions].mean(axis=1)
    largest = float(np.percentile(np.abs(difference), _LARGEST_DIFFERENCE)) or 1.0
    for panel, tile in zip(by_cell[:, -1], difference, strict=True):
        drawn = panel.imshow(tile, cmap="RdBu_r", vmin=-largest, vmax=largest)
    panels = by_cell.ravel().tolist()
    bar = panels[0].figure.colorbar(drawn, ax=panels, extend="both", shrink=0.6, aspect=30, pad=0.02)
    bar.set_label("translated - real", fontsize="small")
    bar.ax.tick_params(labelsize="small")


def _name(panels: np.ndarray, above: list[str], beside: list[str]) -> None:
    for panel in panels.ravel():
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set(color="0.7", linewidth=0.5)
    for panel, name in zip(panels[0], above, strict=True):
        panel.set_title(name, fontsize="medium")
    for panel, name in zip(panels[:, 0], beside, strict=True):
        panel.set_ylabel(name, fontsize="medium")
