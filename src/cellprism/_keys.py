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

UNS = "cellprism"
"""``.uns`` key of the model, its settings and the keys that cellprism wrote."""


def latent_key(block: str) -> str:
    """``.obsm`` key of any latent block: ``X_<block>``."""
    return f"X_{block}"


def translated_layer(source: str) -> str:
    """``.layers`` key, within the target modality, of values translated from ``source``."""
    return f"translated_from_{source}"


def translated_obsm(target: str) -> str:
    """``.obsm`` key, within the source modality, of ``target`` for the cells that lack it."""
    return f"{target}_translated"
