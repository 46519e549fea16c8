"""What can be measured of a cell's image without learning anything."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from tqdm import tqdm

from cellprism._keys import IMAGE, IMAGE_FEATURES
from cellprism.pp._cell_images import read_cells, tell_empty_cells
from cellprism.pp._foci import foci
from cellprism.pp._intensity import channel_correlations, intensity_moments
from cellprism.pp._regions import PROPERTIES, shape_properties
from cellprism.pp._texture import texture

if TYPE_CHECKING:
    import anndata

GROUPS = ("shape", "intensity", "texture", "foci", "correlation")


def image_features(
    images: "anndata.AnnData | np.ndarray",
    *,
    masks: "str | np.ndarray | None" = None,
    mask_channel: str | int = 0,
    groups: Sequence[str] = GROUPS,
    foci_sigma: float = 1.5,
    foci_contrast: float = 0.35,
    key: str = IMAGE,
    key_added: str = IMAGE_FEATURES,
    progress: bool = False,
) -> pd.DataFrame | None:
    """Measure shape, intensity, texture, foci and the correlation of channels of each cell, within its foreground.

    Parameters
    ----------
    images
        AnnData with images in ``.obsm[key]``, or an array of (cells, channels, height, width).
    masks
        ``.obsm`` key or array of the foreground, (cells, 1, height, width) or (cells, height, width). By default
        ``.obsm["mask"]``; without it, what is brighter than Otsu's threshold in ``mask_channel``: the piece that
        fills most of the middle of the image, holes filled.
    mask_channel
        Channel, by name or number, in which Otsu's threshold finds the cell.
    groups
        What to measure.

        - ``"shape"``: ``area``, ``perimeter``, ``eccentricity``, ``solidity``, ``axis_major_length``,
          ``axis_minor_length``, ``orientation`` of the foreground, as :func:`skimage.measure.regionprops` defines them.
        - ``"intensity"``: ``mean``, ``sd``, ``skewness``, ``kurtosis`` (excess), ``sum``, ``min``, ``max`` and
          percentiles ``p5``, ``p25``, ``p50``, ``p75``, ``p95`` of each channel.
        - ``"texture"``: ``contrast``, ``homogeneity``, ``energy``, ``correlation``, ``entropy`` of the co-occurrence of
          32 grey levels, each channel scaled to the cell's own range, as :func:`skimage.feature.graycoprops` defines
          them.
        - ``"foci"``: ``count`` of bright spots in each channel and their mean ``strength``, which is their height
          above their surroundings.
        - ``"correlation"``: Pearson's, of each pair of channels, over the foreground.
    foci_sigma
        Standard deviation, in pixels, of the spots to look for.
    foci_contrast
        Height above its surroundings that makes a spot, as a share of the cell's range of intensities: spots much
        dimmer than the brightest do not count.
    key, key_added
        ``.obsm`` keys to read and to write.
    progress
        Show a progress bar.

    Returns
    -------
    Table of cells x features for an array; nothing for an AnnData, whose ``.obsm[key_added]`` is written. Columns are
    ``area`` and so on, ``intensity_mean_<channel>``, ``texture_contrast_<channel>``, ``foci_count_<channel>`` and
    ``correlation_<channel>_<channel>``. NaN for cells without foreground.

    Raises
    ------
    KeyError
        If a slot or channel is not found.
    ValueError
        If shapes do not fit, a group is not known, or no cell has a foreground.

    Warns
    -----
    UserWarning
        If cells have no foreground.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.array([[[[0, 0, 0, 0], [0, 1, 3, 0], [0, 2, 2, 0], [0, 0, 0, 0]]]])
    >>> image_features(image, masks=image[:, 0] > 0)[["area", "intensity_mean_channel_0", "intensity_max_channel_0"]]
       area  intensity_mean_channel_0  intensity_max_channel_0
    0   4.0                       2.0                      3.0
    """
    unknown = [group for group in groups if group not in GROUPS]
    if unknown:
        raise ValueError(f"groups has {unknown}, expected some of {list(GROUPS)}.")
    cells = read_cells(images, key=key, masks=masks, mask_channel=mask_channel)
    measured, is_empty = [], np.zeros(len(cells), dtype=bool)
    for row in tqdm(range(len(cells)), desc="image_features", unit="cell", disable=not progress):
        image, mask = cells.cell(row)
        is_empty[row] = not mask.any()
        measured.append(
            {} if is_empty[row] else _measure(image, mask, cells.channel_names, groups, foci_sigma, foci_contrast)
        )
    tell_empty_cells(is_empty)
    if isinstance(images, np.ndarray):
        return pd.DataFrame(measured)
    images.obsm[key_added] = pd.DataFrame(measured, index=images.obs_names)
    return None


def _measure(
    image: Float[np.ndarray, "channels height width"],
    mask: Bool[np.ndarray, "height width"],
    names: list[str],
    groups: Sequence[str],
    foci_sigma: float,
    foci_contrast: float,
) -> dict[str, float]:
    features: dict[str, float] = {}
    if "shape" in groups:
        shape = shape_properties(mask)
        features |= {name: shape[name] for name in PROPERTIES}
    for name, pixels in zip(names, image, strict=True):
        if "intensity" in groups:
            features |= _named("intensity", intensity_moments(pixels[mask]), name)
        if "texture" in groups:
            features |= _named("texture", texture(pixels, mask), name)
        if "foci" in groups:
            features |= _named("foci", foci(pixels, mask, sigma=foci_sigma, contrast=foci_contrast), name)
    if "correlation" in groups:
        features |= channel_correlations(image[:, mask], names)
    return features


def _named(group: str, features: dict[str, float], channel: str) -> dict[str, float]:
    return {f"{group}_{feature}_{channel}": value for feature, value in features.items()}
