"""How far predicted pixels are from the true ones."""

from typing import Literal

import numpy as np
from jaxtyping import Float

from cellprism.tl._pixels import Images, TrainingImages, as_pixels, check_same_scale, pixel_pair


def pixel_error(
    true: Images,
    predicted: Images,
    kind: Literal["mse", "rmse", "relative"] = "mse",
    *,
    training: TrainingImages | None = None,
    per_cell: bool = False,
) -> float | Float[np.ndarray, " cells"]:
    r"""Mean squared error of pixels, its root, or its ratio to that of the mean image.

    .. math::
        \mathrm{mse} = \frac{1}{n p} \sum_{ij} (x_{ij} - \hat{x}_{ij})^2, \qquad
        \mathrm{relative} = \frac{\sum_{ij} (x_{ij} - \hat{x}_{ij})^2}{\sum_{ij} (x_{ij} - \bar{x}_j)^2}

    over cells i and pixels j of all channels. Relative to the mean image, 0 is perfect and 1 is as good as
    showing the same image for every cell.

    Parameters
    ----------
    true, predicted
        The same held-out cells. Integer images are read as shares of their type's range.
    kind
        ``"mse"``, ``"rmse"`` or ``"relative"``.
    training
        True images of the training cells, whose mean is the mean image of ``"relative"``. By default that of
        ``true``.
    per_cell
        Give one error per cell, for ``"relative"`` over the mean squared error of the mean image over all cells.

    Returns
    -------
    The error, or one per cell. NaN for ``"relative"`` if the mean image makes no error.

    Raises
    ------
    ValueError
        If shapes or scales differ, pixels are not finite, or ``kind`` is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> true = np.array([0.0, 1.0]).reshape(2, 1, 1, 1)
    >>> predicted = np.array([0.0, 0.5]).reshape(2, 1, 1, 1)
    >>> [pixel_error(true, predicted, kind) for kind in ("mse", "relative")]
    [0.125, 0.5]
    """
    if kind not in ("mse", "rmse", "relative"):
        raise ValueError(f"Found kind={kind!r}, expected 'mse', 'rmse' or 'relative'.")
    true_pixels, predicted_pixels = pixel_pair(true, predicted)
    errors = _squared(true_pixels - predicted_pixels)
    if kind == "relative":
        unexplained = _squared(true_pixels - _mean_image(true, training)).mean()
        errors = errors / unexplained if unexplained > 0 else np.full_like(errors, np.nan)
    if per_cell:
        return np.sqrt(errors) if kind == "rmse" else errors
    return float(np.sqrt(errors.mean()) if kind == "rmse" else errors.mean())


def _squared(difference: np.ndarray) -> Float[np.ndarray, " cells"]:
    return np.square(difference).mean(axis=(1, 2, 3), dtype=np.float64)


def _mean_image(true: np.ndarray, training: np.ndarray | None) -> np.ndarray:
    if training is None:
        training = true
    if training.shape[1:] != true.shape[1:] or not len(training):
        raise ValueError(
            f"Found training images of shape {training.shape} and true images of shape {true.shape}, expected the same "
            "channels, height and width, and at least one training cell."
        )
    check_same_scale(true, training)
    return as_pixels(training).mean(axis=0, dtype=np.float64)
