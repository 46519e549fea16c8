"""Images of another size."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Num

from cellprism._keys import IMAGE, RESIZED
from cellprism.pp._cell_images import read_cells

if TYPE_CHECKING:
    import anndata


def resize_images(
    images: "anndata.AnnData | np.ndarray",
    size: int | tuple[int, int],
    *,
    key: str = IMAGE,
    key_added: str = RESIZED,
) -> Num[np.ndarray, "cells channels height width"] | None:
    """Resample images to another size, smoothed first where they shrink.

    Parameters
    ----------
    images
        AnnData with images in ``.obsm[key]``, or an array of (cells, channels, height, width). Left as it is.
    size
        Side, or height and width, in pixels.
    key, key_added
        ``.obsm`` keys to read and to write.

    Returns
    -------
    Images of the same type for an array; nothing for an AnnData, whose ``.obsm[key_added]`` is written.

    Raises
    ------
    KeyError
        If the slot is not found.
    ValueError
        If the array is no stack of images, or the size is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> resize_images(np.full((1, 1, 2, 2), 7, dtype=np.uint8), (3, 4))[0, 0].tolist()
    [[7, 7, 7, 7], [7, 7, 7, 7], [7, 7, 7, 7]]
    """
    from skimage.transform import resize

    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1:
        raise ValueError(f"size is {size!r}, expected a positive side, or height and width.")
    pixels = read_cells(images, key=key, masks=None).images
    resized = np.empty((*pixels.shape[:2], height, width), dtype=pixels.dtype)
    for cell, image in enumerate(pixels):
        found = resize(
            image, (len(image), height, width), order=1, mode="edge", preserve_range=True, anti_aliasing=True
        )
        resized[cell] = found if pixels.dtype.kind == "f" else np.rint(found)
    if isinstance(images, np.ndarray):
        return resized
    images.obsm[key_added] = resized
    return None
