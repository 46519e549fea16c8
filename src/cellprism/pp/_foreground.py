"""Where the cell is, told by brightness, when no mask is given."""

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage


def otsu_foreground(pixels: Float[np.ndarray, "*space"]) -> Bool[np.ndarray, "*space"]:
    """Of what is above Otsu's threshold, the piece that fills most of the middle of the image, holes filled.

    Nothing in an image of one value.
    """
    from skimage.filters import threshold_otsu

    if pixels.min() == pixels.max():
        return np.zeros(pixels.shape, dtype=bool)
    pieces, _ = ndimage.label(pixels > threshold_otsu(pixels))
    shares = np.bincount(pieces.ravel(), weights=_middle(pixels.shape).ravel())
    shares[0] = 0
    return ndimage.binary_fill_holes(pieces == shares.argmax())


def _middle(shape: tuple[int, ...]) -> Float[np.ndarray, "*space"]:
    """Weights that fall off from the middle of the image, as a Gaussian of a quarter of each side."""
    weights = np.ones(shape)
    for axis, side in enumerate(shape):
        steps = (np.arange(side) - (side - 1) / 2) / (side / 4)
        weights *= np.exp(-(steps**2) / 2).reshape([-1 if number == axis else 1 for number in range(len(shape))])
    return weights
