"""What a modality looks like along components of a latent block."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cellprism import _keys
from cellprism.pl._channel_legend import channel_legend
from cellprism.pl._display import PERCENTILES, Channels, Contrast, Display, choose_display
from cellprism.pl._image_data import CellImages
from cellprism.pl._montage import montage
from cellprism.pl._show import show_figure
from cellprism.pl._traversal_data import named_traversals, positions, read_steps
from cellprism.pl._traversal_heat_map import draw_heat_maps

if TYPE_CHECKING:
    import anndata
    import matplotlib.axes

_TILE = 0.95
"""Width of one image in inches."""

_SPACE = 0.25
"""Width of the space before the change, as a share of an image's width."""

_LARGEST_CHANGE = 99.5
"""Percentile of the absolute changes of pixels at which the colours end."""


def traversal(
    traversals: "anndata.AnnData | Mapping[str, anndata.AnnData]",
    *,
    key: str = _keys.IMAGE,
    channels: Channels = None,
    channels_in: Literal["colours", "rows"] = "colours",
    contrast: Contrast = PERCENTILES,
    n_features: int = 20,
    ax: "matplotlib.axes.Axes | Sequence[matplotlib.axes.Axes] | np.ndarray | None" = None,
    show: bool | None = None,
) -> np.ndarray:
    """Draw what was decoded along components: strips of images, or heat maps of the features that change most.

    Images: a strip per component, from its low to its high end, all with one contrast. Its last picture is the change,
    high minus low end: red where the high end is brighter, blue where the low end is, on one scale that is
    symmetric about white; of several channels it is the mean.

    Tables: a panel per component. Colours give the change from the step nearest the centre, in log2 units of
    1 + value, or in the values' own units where some are negative. Features that rise most are on top.

    Parameters
    ----------
    traversals
        What :func:`cellprism.tl.traverse` gives: one, or several of one modality by name.
    key
        ``.obsm`` key of the images. Without it, ``.X`` is drawn.
    channels
        Names of the channels, or channel to colour. All by default.
    channels_in
        Lay channels over each other as colours, or draw each in a strip of its own, in grey.
    contrast
        Percentiles of each channel, over all steps, that are drawn black and in full colour; or these values
        themselves, by channel.
    n_features
        How many features of a table to draw, those whose values span most.
    ax
        One axes per strip or panel to draw into. A new figure by default.
    show
        Call ``plt.show()``. By default only for a new figure in an interactive session.

    Returns
    -------
    Array of the axes, one per strip or panel.

    Raises
    ------
    KeyError
        If only some of the traversals have images.
    ValueError
        If there is no traversal, or images, channels, contrast or axes do not fit.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from anndata import AnnData
    >>> steps = pd.DataFrame({"position": [-2.0, 0.0, 2.0]}, index=["step 0", "step 1", "step 2"])
    >>> pixels = np.linspace(0, 1, 3)[:, None, None, None] * np.ones((1, 1, 8, 8))
    >>> decoded = AnnData(obs=steps, obsm={"image": pixels})
    >>> panels = traversal({"shared 0": decoded, "shared 1": decoded}, show=False)
    >>> [panel.get_ylabel() for panel in panels]
    ['shared 0', 'shared 1']
    """
    if channels_in not in ("colours", "rows"):
        raise ValueError(f"Found channels_in={channels_in!r}, expected 'colours' or 'rows'.")
    named = named_traversals(traversals)
    if any(key in one.obsm for one in named.values()):
        panels = _draw_strips(named, read_steps(named, key), channels, channels_in, contrast, ax)
    else:
        panels = draw_heat_maps(named, n_features, ax)
    show_figure(show, own_figure=ax is None)
    return panels


def _draw_strips(
    named: dict[str, "anndata.AnnData"],
    images: CellImages,
    channels: Channels,
    channels_in: str,
    contrast: Contrast,
    ax: Any,
) -> np.ndarray:
    display = choose_display(images, channels, contrast)
    layers = {"": display} if channels_in == "colours" else _one_by_one(display)
    steps = np.split(images.pixels, len(named))
    rows = [(name, channel, part) for name, part in zip(named, steps, strict=True) for channel in layers]
    panels = _new_panels(len(rows), images.pixels.shape, len(steps[0])) if ax is None else _given(ax, len(rows))
    largest = max(_largest(part, layers[channel]) for _, channel, part in rows)
    for panel, (name, channel, part) in zip(panels, rows, strict=True):
        _draw_strip(panel, part, layers[channel], largest)
        label = "\n".join(text for text in (name if channel in ("", next(iter(layers))) else "", channel) if text)
        panel.set_ylabel(label, rotation=0, ha="right", va="center", fontsize="medium")
    _name_steps(panels, list(named.values()), images.pixels.shape[3], largest, len(layers))
    if channels_in == "colours" and len(display.names) > 1:
        channel_legend(panels[0], display)
    return panels


def _one_by_one(display: Display) -> dict[str, Display]:
    """Give a display in grey for each channel."""
    return {
        name: Display([display.positions[row]], [name], np.ones((1, 3)), display.limits[[row]])
        for row, name in enumerate(display.names)
    }


def _change(pixels: np.ndarray, display: Display) -> np.ndarray:
    ends = pixels[[0, -1]][:, display.positions].astype(np.float64)
    return (ends[1] - ends[0]).mean(axis=0)


def _largest(pixels: np.ndarray, display: Display) -> float:
    return float(np.nanpercentile(np.abs(_change(pixels, display)), _LARGEST_CHANGE))


def _draw_strip(panel: "matplotlib.axes.Axes", pixels: np.ndarray, display: Display, largest: float) -> None:
    import matplotlib

    strip = montage(display.compose(pixels), len(pixels))
    shares = 0.5 + _change(pixels, display) / (2 * (largest or 1.0))
    change = matplotlib.colormaps["RdBu_r"](np.clip(shares, 0, 1))[..., :3]
    space = np.ones((len(strip), _space(pixels.shape[3]), 3))
    panel.imshow(np.concatenate([strip, space, change], axis=1))
    panel.set(xticks=[], yticks=[])
    panel.spines[:].set_visible(False)


def _space(width: int) -> int:
    return max(2, round(_SPACE * width))


def _name_steps(
    panels: np.ndarray, traversals: list["anndata.AnnData"], width: int, largest: float, n_layers: int
) -> None:
    """Write the places below the strips, once where they are the same to a tenth."""
    places = [np.round(positions(one), 1) + 0.0 for one in traversals for _ in range(n_layers)]
    is_common = all((place == places[0]).all() for place in places)
    middles = (width + 1) * np.arange(len(places[0])) + (width - 1) / 2
    after = (width + 1) * len(places[0]) - 1 + _space(width) + (width - 1) / 2
    for row, (panel, place) in enumerate(zip(panels, places, strict=True)):
        is_last = row == len(panels) - 1
        if is_last or not (is_common or (row + 1) % n_layers):
            change = [f"change\n(±{largest:.2g})" if is_last else ""]
            panel.set_xticks([*middles, after], [f"{p:+.1f}" if p else "0" for p in place] + change, fontsize="small")
            panel.tick_params(length=0)
    panels[-1].set_xlabel("place along the component (sd)", fontsize="medium")


def _new_panels(n_rows: int, shape: tuple[int, ...], n_steps: int) -> np.ndarray:
    import matplotlib.pyplot as plt

    height, width = shape[2:]
    inches = ((n_steps + 1 + _SPACE) * _TILE + 1.8, n_rows * (_TILE * height / width + 0.12) + 0.6)
    return plt.subplots(n_rows, 1, figsize=inches, squeeze=False, layout="constrained")[1].ravel()


def _given(ax: Any, n_rows: int) -> np.ndarray:
    panels = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if len(panels) != n_rows:
        raise ValueError(f"Found {len(panels)} axes for {n_rows} strips, expected one per strip.")
    return panels
