"""Pixels of true and predicted images, on one scale."""

import numpy as np
from jaxtyping import Float, Num

Images = Num[np.ndarray, "cells channels height width"]
"""Images of cells, integer (read as shares of the type's range) or floating."""

TrainingImages = Num[np.ndarray, "training_cells channels height width"]
"""Images of other cells, of the same size."""

_LARGEST_SHARE = 2.0
"""Floating images that go beyond this are not shares of an integer type's range."""


def as_pixels(images: Images) -> Float[np.ndarray, "cells channels height width"]:
    """Give integer images as shares of their type's range (uint8: divided by 255), and floating ones as they are."""
    if np.issubdtype(images.dtype, np.integer):
        return images.astype(np.float32) / np.iinfo(images.dtype).max
    return images


def pixel_pair(true: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give true and predicted images as pixels, after checking that they can be of the same cells on one scale.

    Raises
    ------
    ValueError
        If shapes differ or are not (cells, channels, height, width), one is integer and the other floating beyond
        what a share of its range can be, or pixels are NaN or infinite.
    """
    if true.ndim != 4 or true.shape != predicted.shape or not len(true):
        raise ValueError(
            f"Found true images of shape {true.shape} and predicted images of shape {predicted.shape}, expected the "
            "same (cells, channels, height, width) in both, with at least one cell. Give the cells that both hold, in "
            "one order."
        )
    check_same_scale(true, predicted)
    pair = as_pixels(true), as_pixels(predicted)
    for name, images in zip(("true", "predicted"), pair, strict=True):
        is_finite = np.isfinite(images).all(axis=(1, 2, 3))
        if not is_finite.all():
            raise ValueError(
                f"Found NaN or infinite pixels in {(~is_finite).sum()} of {len(images)} {name} images, expected finite "
                "ones. Leave those cells out of both."
            )
    return pair


def check_same_scale(true: np.ndarray, other: np.ndarray) -> None:
    """Raise if one is integer, and read as shares, while the other is floating and goes far beyond 1."""
    is_integer = [np.issubdtype(images.dtype, np.integer) for images in (true, other)]
    if sum(is_integer) != 1:
        return
    floating = other if is_integer[0] else true
    largest = float(np.nanmax(np.abs(floating), initial=0))
    if largest > _LARGEST_SHARE:
        raise ValueError(
            f"Found images of type {true.dtype} and of type {other.dtype}. Integer images are read as shares of their "
            f"type's range, but the floating ones reach {largest:.4g}, expected about 0 to 1. Bring both to one scale, "
            "for uint8 by dividing by 255."
        )
