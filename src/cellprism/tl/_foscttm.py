"""Fraction of samples closer than the true match."""

import numpy as np
from jaxtyping import Float, Num

from cellprism.tl._matrices import check_partners
from cellprism.tl._partner_ranks import partner_ranks


def foscttm(
    x: Num[np.ndarray, "cells width"],
    y: Num[np.ndarray, "cells width"],
    *,
    metric: str = "euclidean",
    chunk_size: int = 2048,
    per_cell: bool = False,
) -> float | Float[np.ndarray, " cells"]:
    r"""Fraction of samples closer than the true match: 0 is perfect, 0.5 is chance.

    .. math:: \frac{1}{2n} \sum_i \frac{c_i^{x \to y} + c_i^{y \to x}}{n - 1}

    with :math:`c_i^{x \to y}` the number of cells of ``y`` closer to cell i of ``x`` than its own partner is,
    ties counted as half.

    Parameters
    ----------
    x, y
        Embeddings of the same cells in two modalities, row i of both being the same cell.
    metric
        Any distance of :func:`scipy.spatial.distance.cdist`.
    chunk_size
        Cells compared with all others at a time; memory is ``chunk_size`` x n_cells distances.
    per_cell
        Return one fraction per cell, both directions averaged, not their mean.

    Returns
    -------
    Fraction, or one per cell.

    Raises
    ------
    ValueError
        If the embeddings differ in shape, hold fewer than 2 cells, or are not finite.

    References
    ----------
    Liu et al., Jointly embedding multiple single-cell omics measurements, WABI (2019).

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[0.0], [1.0], [2.0]])
    >>> foscttm(x, x)
    0.0
    >>> foscttm(x, np.zeros((3, 1)))
    0.5
    """
    check_partners(x, y)
    both = (
        partner_ranks(x, y, metric=metric, chunk_size=chunk_size),
        partner_ranks(y, x, metric=metric, chunk_size=chunk_size),
    )
    fractions = sum(ranks.closer + ranks.tied / 2 for ranks in both) / (2 * (len(x) - 1))
    return fractions if per_cell else float(fractions.mean())
