"""How many cells of the other modality lie nearer than a cell's own partner."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Num


@dataclass(frozen=True)
class PartnerRanks:
    """For every cell, the cells of the other modality counted against its own partner.

    Parameters
    ----------
    closer
        Number of cells strictly closer than the partner.
    tied
        Number of other cells exactly as far as the partner.
    """

    closer: Float[np.ndarray, " cells"]
    tied: Float[np.ndarray, " cells"]


def partner_ranks(
    query: Num[np.ndarray, "cells width"],
    partners: Num[np.ndarray, "cells width"],
    *,
    metric: str,
    chunk_size: int,
) -> PartnerRanks:
    """Count, for every row of ``query``, the rows of ``partners`` that beat or tie its own.

    Distances are computed pair by pair (not through a matrix product), so ties are exact.
    """
    from scipy.spatial.distance import cdist

    n_cells = len(query)
    closer, tied = np.empty(n_cells), np.empty(n_cells)
    for start in range(0, n_cells, chunk_size):
        rows = slice(start, min(start + chunk_size, n_cells))
        distances = cdist(query[rows], partners, metric=metric)
        to_partner = np.diagonal(distances, offset=start)[:, None]
        closer[rows] = (distances < to_partner).sum(axis=1)
        tied[rows] = (distances == to_partner).sum(axis=1) - 1
    return PartnerRanks(closer, tied)
