"""Decoded steps along components, checked to be of one kind."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from cellprism.pl._image_data import CellImages, read_images

if TYPE_CHECKING:
    import anndata


def named_traversals(
    traversals: "anndata.AnnData | Mapping[str, anndata.AnnData]",
) -> dict[str, "anndata.AnnData"]:
    """Give traversals by name; one alone is named by its block and component.

    Raises
    ------
    ValueError
        If there is none, or one has no positions.
    """
    named = dict(traversals) if isinstance(traversals, Mapping) else {_name(traversals): traversals}
    if not named:
        raise ValueError("Found no traversal to draw, expected at least one, as tl.traverse gives them.")
    for name, traversal in named.items():
        if "position" not in traversal.obs:
            raise ValueError(
                f"Found columns {list(traversal.obs.columns)} in .obs of {name!r}, expected 'position', the place of "
                "each step. Draw what tl.traverse gives."
            )
    return named


def _name(traversal: "anndata.AnnData") -> str:
    about = traversal.uns.get("traversal")
    return "traversal" if about is None else f"{about['block']} {about['component']}"


def positions(traversal: "anndata.AnnData") -> np.ndarray:
    """Give the places of the steps, in standard deviations."""
    return traversal.obs["position"].to_numpy(dtype=float)


def middle_step(traversal: "anndata.AnnData") -> int:
    """Give the step that is nearest to the centre."""
    return int(np.argmin(np.abs(positions(traversal))))


def read_steps(traversals: Mapping[str, "anndata.AnnData"], key: str) -> CellImages:
    """Read the images of all traversals, one after the other.

    Raises
    ------
    KeyError
        If one has no images.
    ValueError
        If they differ in channels, size or number of steps.
    """
    images = {name: read_images(traversal, key) for name, traversal in traversals.items()}
    first = next(iter(images.values()))
    for name, found in images.items():
        if found.pixels.shape != first.pixels.shape or found.channels != first.channels:
            raise ValueError(
                f"Found images of shape {found.pixels.shape} and channels {found.channels} in {name!r}, expected "
                f"{first.pixels.shape} and {first.channels} as in the first. Draw them apart."
            )
    return CellImages(np.concatenate([found.pixels for found in images.values()]), first.channels)
