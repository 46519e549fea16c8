"""Every name in ``.obs``, ``.obsm``, ``.layers`` and ``.uns`` that cellprism reads or writes."""

SHARED = "shared"
"""Name of the block that all modalities see, unless a layout says otherwise."""

X_SHARED = "X_shared"
"""``.obsm`` key of the shared block."""

X_PRIVATE = "X_private"
"""``.obsm`` key, within one modality, of that modality's private block."""

RECONSTRUCTED = "reconstructed"
"""``.layers`` key of expected values given the cell's own measurement."""

STANDARD_DEVIATION = "std"
"""``.layers`` key of the spread over posterior samples."""

HELD_OUT = "cellprism_held_out"
"""``.obs`` column of the cells that ``cellprism run`` kept out of training."""

STAGE = "stage"
"""Curve in a model's history with the number of the stage of each epoch."""

CELLS_PER_SECOND = "cells_per_second"
"""Curve with the number of cells trained on in a second, those of all processes together."""

LOADING_SHARE = "loading_share"
"""Curve with the share of the time in which training waited for cells."""

MEMORY = "memory_gib"
"""Curve with the most memory taken so far, of the GPU or of the process; unit: GiB."""

COSTS = (CELLS_PER_SECOND, LOADING_SHARE, MEMORY)
"""Curves that tell what training costs."""

UNS = "cellprism"
"""``.uns`` key of the model, its settings and the keys that cellprism wrote."""

IMAGE = "image"
"""``.obsm`` key of images, (cells, channels, height, width)."""

MASK = "mask"
"""``.obsm`` key of foreground masks, (cells, 1, height, width)."""

SPATIAL = "spatial"
"""``.obsm`` key of x and y on the field of view, as in squidpy."""

CHANNELS = "channels"
"""``.uns`` key of the names of the channels."""

NORMALIZED = "image_normalized"
"""``.obsm`` key of images on a common scale."""

RESIZED = "image_resized"
"""``.obsm`` key of images of another size."""

RADIAL_PROFILE = "radial_profile"
"""``.obsm`` key of mean intensities from the centre to the edge of a cell."""

IMAGE_FEATURES = "image_features"
"""``.obsm`` key of what is measured of each image."""


def latent_key(block: str) -> str:
    """``.obsm`` key of any latent block: ``X_<block>``."""
    return f"X_{block}"


def is_predicted(key: str) -> bool:
    """Whether a key of ``.obsm`` or ``.layers`` is one that holds predictions."""
    return key.endswith(f"_{RECONSTRUCTED}") or "_translated" in key


def translated_layer(source: str) -> str:
    """``.layers`` key, within the target modality, of values translated from ``source``."""
    return f"translated_from_{source}"


def translated_obsm(target: str, identity: str | None = None) -> str:
    """``.obsm`` key, within the source modality, of ``target`` for the cells that lack it."""
    return f"{target}_translated" if identity is None else f"{target}_translated_{identity.replace('/', '_')}"
