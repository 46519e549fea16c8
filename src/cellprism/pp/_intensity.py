"""How bright the pixels of a cell are, in each channel and in pairs of channels."""

from itertools import combinations

import numpy as np
from jaxtyping import Float

QUANTILES = (5, 25, 50, 75, 95)


def intensity_moments(pixels: Float[np.ndarray, " pixels"]) -> dict[str, float]:
    """Moments and percentiles; skewness and excess kurtosis are 0 where all pixels are equal."""
    mean, sd = pixels.mean(), pixels.std()
    is_flat = sd <= 1e-12 * max(1.0, abs(mean))
    standardized = np.zeros_like(pixels) if is_flat else (pixels - mean) / sd
    quantiles = np.percentile(pixels, QUANTILES)
    return {
        "mean": float(mean),
        "sd": float(sd),
        "skewness": float((standardized**3).mean()),
        "kurtosis": 0.0 if is_flat else float((standardized**4).mean() - 3),
        "sum": float(pixels.sum()),
        "min": float(pixels.min()),
        "max": float(pixels.max()),
        **{f"p{percent}": float(value) for percent, value in zip(QUANTILES, quantiles, strict=True)},
    }


def channel_correlations(pixels: Float[np.ndarray, "channels pixels"], names: list[str]) -> dict[str, float]:
    """Pearson's correlation of each pair of channels over pixels; 0 where a channel is constant."""
    centred = pixels - pixels.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1)
    is_flat = norms <= 1e-12 * np.maximum(1.0, np.linalg.norm(pixels, axis=1))
    correlations = {}
    for a, b in combinations(range(len(names)), 2):
        product = norms[a] * norms[b]
        value = 0.0 if is_flat[a] or is_flat[b] else float(centred[a] @ centred[b] / product)
        correlations[f"correlation_{names[a]}_{names[b]}"] = value
    return correlations
