"""What a modality looks like along a principal component of a latent block."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from cellprism.tl._principal_axes import PrincipalAxes

if TYPE_CHECKING:
    import anndata
    import mudata

_FILLS = ("mean", "shared")


def traverse(
    model: Any,
    block: str,
    modality: str,
    *,
    component: int = 0,
    n_steps: int = 7,
    limits: tuple[float, float] = (2.0, 98.0),
    fill: Literal["mean", "shared"] = "mean",
    along: Mapping[str, Any] | None = None,
    mdata: "mudata.MuData | anndata.AnnData | None" = None,
    transform_batch: str | Sequence[str] | None = None,
    library_size: float | None = None,
    identity: str | None = None,
) -> "anndata.AnnData":
    """Decode profiles or images along a principal component of a block, everything else at the cells' mean.

    Steps are evenly spaced between two percentiles of the cells along the component. All other components of the
    block, and all other blocks that the modality sees, stay at the mean over the cells that have them.

    Parameters
    ----------
    model
        A trained model, or any other object with its ``layout``, ``get_latent_representation`` and ``decode``.
    block
        Latent block to go along, such as ``"shared"``.
    modality
        What to decode. It must see the block.
    component
        Number of the component, counted from 0.
    n_steps
        How many steps, at least 2.
    limits
        Percentiles of the cells at which the steps begin and end.
    fill
        What stands for the modality's private blocks, unless one of them is gone along: their ``"mean"``, or
        ``"shared"``, the decoder that needs none. Where no cell has a private latent it is the latter.
    along
        Go along the axes that :func:`rank_features_along` found: ``adata.uns["rank_features_along"]``. By default
        along those of the cells here.
    mdata
        Cells whose latents span the component; those the model was made with by default.
    transform_batch, library_size, identity
        As in the model's ``decode``.

    Returns
    -------
    AnnData with a row per step: the decoded table in ``.X``, or images in ``.obsm["image"]``.

    - ``.obs``: ``component``; ``position`` along it, in standard deviations from the centre; ``percentile`` of cells
      that lie below.
    - ``.uns["traversal"]``: ``block``, ``modality``, ``component``, ``variance_ratio`` (share of the block's variance)
      and ``fill``.

    Raises
    ------
    RuntimeError
        If the model is not trained.
    KeyError
        If there is no such modality.
    ValueError
        If the modality does not see the block, there is no such component, or options do not fit.

    See Also
    --------
    rank_features_along : features that are measured to change along a component.

    Notes
    -----
    A traversal shows what the model decodes, not what was measured: compare it with cells from either end.

    References
    ----------
    The traversals of :cite:t:`zhang2026`.
    """
    _check_options(n_steps, limits, fill)
    _check_seen(model.layout, block, modality)
    embedding = _known(model, block, mdata)
    axes = PrincipalAxes.fit(embedding) if along is None else _given_axes(along, embedding, block)
    if not 0 <= component < len(axes.sd):
        raise ValueError(
            f"Found component={component}, expected 0 to {len(axes.sd) - 1}: those that vary in {block!r}."
        )
    places = axes.positions(embedding, component)
    positions = np.linspace(*np.percentile(places, limits), n_steps)
    latents, fill = _others(model, block, modality, n_steps, fill, mdata)
    latents[block] = axes.points(positions, component).astype(np.float32)
    decoded = model.decode(
        modality, latents, transform_batch=transform_batch, library_size=library_size, identity=identity
    )
    decoded.obs = _steps(places, positions, component)
    share = float(axes.variance_ratio[component])
    about = {"block": block, "modality": modality, "component": component, "variance_ratio": share, "fill": fill}
    decoded.uns["traversal"] = about
    return decoded


def _check_options(n_steps: int, limits: tuple[float, float], fill: str) -> None:
    if n_steps < 2:
        raise ValueError(f"Found n_steps={n_steps}, expected at least 2.")
    if not 0 <= limits[0] < limits[1] <= 100:
        raise ValueError(f"Found limits={limits}, expected two increasing percentiles between 0 and 100.")
    if fill not in _FILLS:
        raise ValueError(f"Found fill={fill!r}, expected one of {_FILLS}.")


def _check_seen(layout: Any, block: str, modality: str) -> None:
    seen = layout.blocks_of(modality)
    if not seen:
        raise KeyError(f"The model has no modality {modality!r}: none of its blocks is seen by it.")
    if block not in seen:
        raise ValueError(
            f"Block {block!r} is not seen by {modality!r}, which sees {', '.join(map(repr, seen))}. "
            "Along a block that it does not see nothing would change."
        )


def _known(model: Any, block: str, mdata: Any) -> Float[np.ndarray, "cells width"]:
    """Give the latents of the cells that have any."""
    latents = np.asarray(model.get_latent_representation(mdata, block=block, modality=None), dtype=np.float64)
    known = latents[np.isfinite(latents).all(axis=1)]
    if len(known) < 2:
        raise ValueError(
            f"Found {len(known)} of {len(latents)} cells with a latent in block {block!r}, expected at least 2. "
            "Pass mdata=... with cells measured in a modality that sees it."
        )
    return known


def _given_axes(along: Mapping[str, Any], embedding: Float[np.ndarray, "cells width"], block: str) -> PrincipalAxes:
    axes = PrincipalAxes.from_plain(along)
    if len(axes.center) != embedding.shape[1]:
        raise ValueError(
            f"Found axes of width {len(axes.center)}, expected {embedding.shape[1]}, the width of block {block!r}. "
            "Rank the features along this block."
        )
    return axes


def _others(
    model: Any, block: str, modality: str, n_steps: int, fill: str, mdata: Any
) -> tuple[dict[str, np.ndarray], str]:
    """Give the means of all other blocks, step by step, and what fills the private ones in the end."""
    private = set(model.layout.private_of(modality))
    if fill == "shared" and block in private:
        raise ValueError(
            f"Found fill='shared' and the private block {block!r}, which that leaves out. Use fill='mean'."
        )
    left_out = {block} | (private if fill == "shared" else set())
    names = [name for name in model.layout.blocks_of(modality) if name not in left_out]
    means = {name: _mean(model, name, mdata) for name in names}
    unknown = {name for name, mean in means.items() if mean is None}
    if unknown and unknown <= private and block not in private:
        return _others(model, block, modality, n_steps, "shared", mdata)
    if unknown:
        raise ValueError(
            f"Found no cell with a latent in {sorted(unknown)}, expected some, to hold them at their mean. "
            "Pass mdata=... with cells measured in a modality that sees them."
        )
    return {name: np.tile(mean.astype(np.float32), (n_steps, 1)) for name, mean in means.items()}, fill


def _mean(model: Any, block: str, mdata: Any) -> Float[np.ndarray, " width"] | None:
    """Give the mean latent of the cells that have one, if any has."""
    latents = np.asarray(model.get_latent_representation(mdata, block=block, modality=None), dtype=np.float64)
    known = latents[np.isfinite(latents).all(axis=1)]
    return known.mean(axis=0) if len(known) else None


def _steps(places: Float[np.ndarray, " cells"], positions: Float[np.ndarray, " steps"], component: int) -> pd.DataFrame:
    percentiles = 100 * np.searchsorted(np.sort(places), positions) / len(places)
    names = [f"step {step}" for step in range(len(positions))]
    return pd.DataFrame({"component": component, "position": positions, "percentile": percentiles}, index=names)
