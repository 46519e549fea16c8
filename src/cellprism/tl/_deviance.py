"""How far predictions are from what was observed, by the distribution of the values."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy import special

Deviance = Literal["gaussian", "poisson", "bernoulli"]

_LEAST_PROBABILITY = float(np.finfo(np.float32).eps)
"""Probabilities are kept this far from 0 and 1, as float32 cannot come closer to 1."""


def deviance_of(name: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Give the function of observed and predicted values to the unit deviance of each.

    Raises
    ------
    ValueError
        If there is no such deviance.
    """
    known = {"gaussian": _gaussian, "poisson": _poisson, "bernoulli": _bernoulli}
    if name not in known:
        raise ValueError(f"Found deviance={name!r}, expected one of {list(known)}.")
    return known[name]


def _gaussian(observed: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return (observed - predicted) ** 2


def _poisson(observed: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Infinite where counts were observed and none were predicted."""
    return 2 * special.kl_div(observed, predicted)


def _bernoulli(observed: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    inside = np.clip(predicted, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    return 2 * (special.kl_div(observed, inside) + special.kl_div(1 - observed, 1 - inside))


def check_range(name: str, values: np.ndarray, deviance: str) -> None:
    """Raise unless the deviance is defined for the values."""
    if not np.isfinite(values).all():
        raise ValueError(
            f"Found NaN or infinite values in {name}, expected finite ones. Drop the cells without values."
        )
    low, high = {"gaussian": (-np.inf, np.inf), "poisson": (0, np.inf), "bernoulli": (0, 1)}[deviance]
    if values.size and (values.min() < low or values.max() > high):
        raise ValueError(
            f"Found values from {values.min():.4g} to {values.max():.4g} in {name}, expected them between {low} and "
            f"{high} for deviance={deviance!r}. Use 'gaussian' for transformed values."
        )
