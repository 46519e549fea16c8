"""How alike true and predicted images look in their local structure."""

import numpy as np
from jaxtyping import Float

from cellprism.tl._pixels import Images, pixel_pair


def structural_similarity(
    true: Images,
    predicted: Images,
    *,
    data_range: float = 1.0,
    window: int = 7,
    per_cell: bool = False,
) -> Float[np.ndarray, " channels"] | Float[np.ndarray, "cells channels"]:
    r"""Structural similarity (SSIM) of each channel, mean over cells.

    .. math::
        \frac{(2 \mu_x \mu_y + c_1)(2 \sigma_{xy} + c_2)}{(\mu_x^2 + \mu_y^2 + c_1)(\sigma_x^2 + \sigma_y^2 + c_2)}

    with means, variances and covariance over a square window, averaged over its positions in the image, and
    :math:`c_1 = (0.01 L)^2, c_2 = (0.03 L)^2` for the range L of the data. 1 for identical images.
    Empty background looks alike in any two images, so compare with the value of the mean image.

    Parameters
    ----------
    true, predicted
        The same held-out cells. Integer images are read as shares of their type's range.
    data_range
        Largest difference two pixels can have: 1 for images from 0 to 1.
    window
        Side of the window in pixels, odd; for smaller images the largest odd number that fits.
    per_cell
        Give cells x channels.

    Returns
    -------
    One similarity per channel, or cells x channels.

    Raises
    ------
    ValueError
        If shapes or scales differ, pixels are not finite, the true images go beyond ``data_range``, ``window`` is
        even or below 3, or images are smaller than 3 x 3.

    References
    ----------
    Wang et al., IEEE Trans Image Process 2004, as :func:`skimage.metrics.structural_similarity` computes it.
    """
    from skimage.metrics import structural_similarity as of_two_images

    true, predicted = pixel_pair(true, predicted)
    _check_range(true, data_range)
    window = _fitting(window, min(true.shape[2:]))
    similarity = np.array(
        [
            [of_two_images(x, y, win_size=window, data_range=data_range) for x, y in zip(*channels, strict=True)]
            for channels in zip(true, predicted.astype(true.dtype), strict=True)
        ]
    )
    return similarity if per_cell else similarity.mean(axis=0)


def _fitting(window: int, side: int) -> int:
    if window < 3 or window % 2 == 0:
        raise ValueError(f"Found window={window}, expected an odd number of at least 3.")
    if side < 3:
        raise ValueError(f"Found images with a side of {side} pixels, expected at least 3 x 3.")
    return min(window, side if side % 2 else side - 1)


def _check_range(true: np.ndarray, data_range: float) -> None:
    found = float(true.max() - true.min())
    if found > data_range * (1 + 1e-6):
        raise ValueError(
            f"Found true images that span {found:.4g}, expected at most data_range={data_range:g}. "
            "Pass data_range=... or bring the images to 0 to 1."
        )
