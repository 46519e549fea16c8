"""Principal axes of a latent block, and where cells lie along and beside them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from cellprism.tl._components import fit_components

_NO_VARIANCE = 1e-12
"""Share of the variance below which a component does not vary."""


@dataclass(frozen=True)
class PrincipalAxes:
    """Principal components of an embedding as lines through its centre.

    Parameters
    ----------
    center
        Mean of the cells.
    directions
        Unit vectors, the components with most variance first.
    sd
        Standard deviation of the cells along each.
    variance_ratio
        Share of the embedding's variance along each.
    """

    center: Float[np.ndarray, " width"]
    directions: Float[np.ndarray, "components width"]
    sd: Float[np.ndarray, " components"]
    variance_ratio: Float[np.ndarray, " components"]

    @classmethod
    def fit(cls, embedding: Float[np.ndarray, "cells width"], n_components: int | None = None) -> "PrincipalAxes":
        """Find the axes of cells that all have an embedding; by default as many as vary.

        Raises
        ------
        ValueError
            If there are fewer than 2 cells, or fewer components that vary.
        """
        fitted = fit_components(embedding, embedding.shape[1])
        n_varying = int((fitted.explained_variance_ > _NO_VARIANCE * fitted.explained_variance_.sum()).sum())
        n_components = n_varying if n_components is None else n_components
        if not 1 <= n_components <= n_varying:
            raise ValueError(
                f"Found an embedding of {embedding.shape[0]} cells and width {embedding.shape[1]} in which {n_varying} "
                f"components vary, expected at least the {n_components} asked for, and at least 1. Ask for fewer."
            )
        return cls(
            fitted.mean_,
            fitted.components_[:n_components],
            np.sqrt(fitted.explained_variance_[:n_components]),
            fitted.explained_variance_ratio_[:n_components],
        )

    @classmethod
    def from_plain(cls, stored: Mapping[str, Any]) -> "PrincipalAxes":
        """Read the axes from where :meth:`to_plain` put them.

        Raises
        ------
        KeyError
            If they are not there.
        """
        names = ("center", "components", "sd", "variance_ratio")
        missing = [name for name in names if name not in stored]
        if missing:
            raise KeyError(
                f"{missing} were not found among {list(stored)}. "
                "Give what tl.rank_features_along wrote: adata.uns['rank_features_along']."
            )
        return cls(*(np.asarray(stored[name], dtype=np.float64) for name in names))

    def to_plain(self) -> dict[str, np.ndarray]:
        """Give the axes as arrays by name, for ``.uns``."""
        return {
            "components": self.directions,
            "center": self.center,
            "sd": self.sd,
            "variance_ratio": self.variance_ratio,
        }

    def positions(self, embedding: Float[np.ndarray, "cells width"], component: int) -> Float[np.ndarray, " cells"]:
        """Give the place of each cell along an axis, in standard deviations from the centre."""
        return (embedding - self.center) @ self.directions[component] / self.sd[component]

    def distances(self, embedding: Float[np.ndarray, "cells width"], component: int) -> Float[np.ndarray, " cells"]:
        """Give how far each cell is from an axis, in units of the embedding."""
        centred = embedding - self.center
        along = np.outer(centred @ self.directions[component], self.directions[component])
        return np.linalg.norm(centred - along, axis=1)

    def points(self, positions: Float[np.ndarray, " points"], component: int) -> Float[np.ndarray, "points width"]:
        """Give the points of the embedding at these places on an axis."""
        return self.center + np.outer(positions * self.sd[component], self.directions[component])
