"""Grey-level co-occurrence within a cell."""

import numpy as np
from jaxtyping import Bool, Float, Integer

PROPERTIES = (
    "contrast",
    "homogeneity",
    "energy",
    "correlation",
    "entropy",
)
ANGLES = (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
N_LEVELS = 32


def texture(image: Float[np.ndarray, "height width"], mask: Bool[np.ndarray, "height width"]) -> dict[str, float]:
    """Haralick's properties of pairs of adjacent pixels that both lie in the mask, averaged over four directions.

    Intensities are cut into 32 equal steps between the cell's darkest and brightest pixel, so that texture does not
    depend on brightness.
    """
    from skimage.feature import graycomatrix, graycoprops

    pairs = graycomatrix(grey_levels(image, mask), [1], ANGLES, levels=N_LEVELS + 1, symmetric=True)
    within = pairs[1:, 1:]
    return {name: float(graycoprops(within, name).mean()) for name in PROPERTIES}


def grey_levels(
    image: Float[np.ndarray, "height width"], mask: Bool[np.ndarray, "height width"]
) -> Integer[np.ndarray, "height width"]:
    """Steps from 1 to 32 in the mask, 0 outside."""
    low, high = image[mask].min(), image[mask].max()
    unit = (image - low) / (high - low) if high > low else np.zeros_like(image)
    steps = np.minimum(np.floor(np.clip(unit, 0, 1) * N_LEVELS), N_LEVELS - 1) + 1
    return np.where(mask, steps, 0).astype(np.uint8)
