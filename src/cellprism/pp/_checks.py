"""Say what is wrong with a field of view before it is cut."""

from collections.abc import Sequence

import numpy as np

from cellprism.pp._field import Field


def check_field(field: Field, labels: Field) -> None:
    """Refuse images that are no (channels, height, width), masks that are no labels, and two that do not fit.

    Raises
    ------
    ValueError
        If so.
    """
    image_shape, masks_shape = tuple(field.pixels.shape), tuple(labels.pixels.shape)
    if len(image_shape) not in (2, 3):
        raise ValueError(f"image has shape {image_shape}, expected (channels, height, width) or (height, width).")
    if len(masks_shape) != 2 and not (len(masks_shape) == 3 and masks_shape[0] == 1):
        raise ValueError(f"masks has shape {masks_shape}, expected (height, width).")
    if len(image_shape) == 3 and image_shape[:2] == labels.shape != field.shape:
        raise ValueError(
            f"image has shape {image_shape} and masks {labels.shape}: the channels seem to come last, expected first. "
            "Pass np.moveaxis(image, -1, 0)."
        )
    if field.shape != labels.shape:
        raise ValueError(
            f"image is {field.shape} pixels high and wide and masks {labels.shape}, expected the same field of view."
        )
    _check_labels(labels)


def _check_labels(labels: Field) -> None:
    if labels.dtype.kind == "b":
        raise ValueError(
            "masks is boolean, expected a label mask with a number per cell. Pass skimage.measure.label(masks)."
        )
    if labels.dtype.kind not in "iu":
        raise ValueError(
            f"masks has dtype {labels.dtype}, expected integers: 0 for background and a number per cell. "
            "Pass masks.astype(int) if these are whole numbers."
        )


def check_size(size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width of a crop.

    Raises
    ------
    ValueError
        If it is not one or two numbers above zero.
    """
    sides = (size, size) if np.ndim(size) == 0 else tuple(size)
    if len(sides) != 2 or min(sides) < 1:
        raise ValueError(f"size is {size!r}, expected pixels as one number, or (height, width), each at least 1.")
    return sides


def image_channels(channel_names: Sequence[str] | None, field: Field) -> list[str]:
    """Names of the channels: those given, those of the field, or numbers.

    Raises
    ------
    ValueError
        If there is not one name per channel, or a name comes twice.
    """
    numbered = [f"channel_{number}" for number in range(field.n_channels)]
    names = list(channel_names) if channel_names is not None else field.channel_names or numbered
    if len(names) != field.n_channels or len(set(names)) != len(names):
        raise ValueError(f"channel_names is {names}, expected {field.n_channels} different names, one per channel.")
    return names
