"""Share of cells whose true partner is among the nearest."""

import numpy as np
from jaxtyping import Num

from cellprism.tl._matrices import check_partners
from cellprism.tl._partner_ranks import partner_ranks


def partner_recall(
    x: Num[np.ndarray, "cells width"],
    y: Num[np.ndarray, "cells width"],
    *,
    k: int = 10,
    metric: str = "euclidean",
    chunk_size: int = 2048,
) -> float:
    """Share of cells whose true partner is among the k nearest of the other modality: chance is k / n_cells.

    Both directions are averaged. Where other cells are exactly as far as the partner, the cell counts with
    the probability that the partner is among the k nearest when ties are broken at random.

    Parameters
    ----------
    x, y
        Embeddings of the same cells in two modalities, row i of both being the same cell.
    k
        Number of nearest cells among which the partner should be.
    metric
        Any distance of :func:`scipy.spatial.distance.cdist`; :cite:p:`yang2021` uses ``"cityblock"``.
    chunk_size
        Cells compared with all others at a time; memory is ``chunk_size`` x n_cells distances.

    Returns
    -------
    Share of cells, between 0 and 1.

    Raises
    ------
    ValueError
        If the embeddings differ in shape, hold fewer than 2 cells, are not finite, or ``k`` is below 1.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> partner_recall(x, x, k=1)
    1.0
    >>> partner_recall(x, np.zeros((4, 1)), k=1)
    0.25
    """
    check_partners(x, y)
    if k < 1:
        raise ValueError(f"Found k={k}, expected at least 1 nearest cell.")
    recalls = []
    for query, partners in ((x, y), (y, x)):
        ranks = partner_ranks(query, partners, metric=metric, chunk_size=chunk_size)
        recalls.append(np.clip((k - ranks.closer) / (ranks.tied + 1), 0, 1).mean())
    return float(np.mean(recalls))
