"""Bright spots within a cell."""

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage


def foci(
    image: Float[np.ndarray, "height width"],
    mask: Bool[np.ndarray, "height width"],
    *,
    sigma: float,
    contrast: float,
) -> dict[str, float]:
    r"""Number of spots and their mean strength, 0 without spots.

    A spot is a peak of :math:`-2 \sigma^2 \nabla^2 G_\sigma * I`, which for a Gaussian spot of that sigma is its height
    above its surroundings. It counts if that is at least ``contrast`` of the cell's range of intensities. Outside the
    mask the image is filled with the cell's median, lest the cell's edge count.
    """
    strength = spot_strength(image, mask, sigma)
    spread = np.ptp(image[mask])
    is_peak = strength == ndimage.maximum_filter(strength, size=2 * int(np.ceil(sigma)) + 1)
    is_focus = is_peak & mask & (strength >= contrast * spread) & (spread > 0)
    pieces, count = ndimage.label(is_focus, structure=np.ones((3, 3)))
    mean = float(np.mean(ndimage.maximum(strength, pieces, range(1, count + 1)))) if count else 0.0
    return {"count": float(count), "strength": mean}


def spot_strength(
    image: Float[np.ndarray, "height width"], mask: Bool[np.ndarray, "height width"], sigma: float
) -> Float[np.ndarray, "height width"]:
    """Height above its surroundings that a Gaussian spot at each pixel would have."""
    filled = np.where(mask, image, np.median(image[mask]))
    return -2 * sigma**2 * ndimage.gaussian_laplace(filled, sigma, mode="nearest")
