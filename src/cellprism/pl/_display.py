"""Channels as colours: which are shown, in which colour, between which limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cellprism.pl._image_data import CellImages

Channels = str | Sequence[str] | Mapping[str, Any] | None
"""Name or names of the channels to show, or each with its colour; all by default."""

Contrast = tuple[float, float] | Mapping[str, tuple[float, float]]
"""Two percentiles, or channel to the values that are drawn black and in full colour."""

PERCENTILES = (1.0, 99.5)
"""Percentiles of all pixels of a channel that are drawn black and in full colour, unless told otherwise."""

_GREY = ["white"]
_TWO = ["#ff00ff", "#00ff00"]
_MORE = ["#00b7ff", "#ff00c8", "#ffe600", "#ff5a00", "#00e676", "#ffffff"]
_CELLS_FOR_PERCENTILES = 1000


@dataclass(frozen=True)
class Display:
    """How images are turned into colours.

    Parameters
    ----------
    positions
        Which channels of the images are shown.
    names
        Their names.
    colours
        Their colours, channels x (red, green, blue).
    limits
        Values drawn black and in full colour, channels x 2.
    """

    positions: list[int]
    names: list[str]
    colours: np.ndarray
    limits: np.ndarray

    def compose(self, pixels: np.ndarray) -> np.ndarray:
        r"""Add up the channels' colours as cells x height x width x (red, green, blue).

        .. math:: \min\Big(1, \sum_c \mathrm{clip}\big(\tfrac{x_c - l_c}{h_c - l_c}, 0, 1\big) \, \mathrm{colour}_c\Big)
        """
        low, high = self.limits.T[:, None, :, None, None]
        intensity = np.clip((pixels[:, self.positions].astype(np.float32) - low) / (high - low), 0, 1)
        return np.minimum(np.einsum("nchw,cr->nhwr", intensity, self.colours), 1)


def choose_display(images: CellImages, channels: Channels, contrast: Contrast) -> Display:
    """Settle which channels of these images are shown, and how.

    Raises
    ------
    ValueError
        If a channel is unknown, or the contrast is neither two increasing percentiles nor limits for every channel.
    """
    from matplotlib.colors import to_rgb

    names = _names(images, channels)
    unknown = [name for name in names if name not in images.channels]
    if unknown or not names:
        raise ValueError(f"Found channels {names}, expected some of {images.channels}.")
    positions = [images.channels.index(name) for name in names]
    colours = list(channels.values()) if isinstance(channels, Mapping) else default_colours(len(names))
    limits = _limits(images.pixels[:, positions], names, contrast)
    return Display(positions, names, np.array([to_rgb(colour) for colour in colours]), limits)


def _names(images: CellImages, channels: Channels) -> list[str]:
    if channels is None:
        return images.channels
    return [channels] if isinstance(channels, str) else list(channels)


def default_colours(n_channels: int) -> list[str]:
    """Grey for one channel, magenta and green for two, and six that can be told apart for more, used in turn."""
    if n_channels <= 2:
        return _GREY if n_channels == 1 else _TWO
    return [_MORE[position % len(_MORE)] for position in range(n_channels)]


def _limits(pixels: np.ndarray, names: list[str], contrast: Contrast) -> np.ndarray:
    """Give the limits as channels x 2."""
    if not isinstance(contrast, Mapping):
        return _percentiles(pixels, contrast)
    missing = [name for name in names if name not in contrast]
    if missing:
        raise ValueError(f"Found contrast limits for {list(contrast)}, expected them for {missing} as well.")
    limits = np.array([contrast[name] for name in names], dtype=float)
    if (limits[:, 0] >= limits[:, 1]).any():
        raise ValueError(f"Found contrast limits {dict(contrast)}, expected (low, high) with low below high.")
    return limits


def _percentiles(pixels: np.ndarray, percentiles: tuple[float, float]) -> np.ndarray:
    """Give percentiles over cells as channels x 2; a channel whose percentiles coincide is drawn black."""
    low, high = percentiles
    if not 0 <= low < high <= 100:
        raise ValueError(
            f"Found contrast={percentiles}, expected two increasing percentiles between 0 and 100. "
            "Give fixed limits by channel: contrast={'DNA': (10, 200)}."
        )
    some = pixels[:: max(1, len(pixels) // _CELLS_FOR_PERCENTILES)]
    limits = np.nanpercentile(some.astype(np.float32), percentiles, axis=(0, 2, 3)).T
    limits[:, 1] = np.where(limits[:, 1] > limits[:, 0], limits[:, 1], limits[:, 0] + 1)
    return limits
