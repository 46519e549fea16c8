"""Cross-fitted linear predictions from one block, two blocks, and so on."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from cellprism.tl._cross_fitting import as_block, common_length, cross_fit, fold_numbers, group_codes
from cellprism.tl._matrices import Labels, Matrix, as_dense, flattened, shaped_like


def block_regression(
    blocks: Mapping[str, np.ndarray],
    values: Matrix,
    *,
    groups: Labels | None = None,
    n_folds: int = 5,
    seed: int = 0,
) -> dict[str, Float[np.ndarray, "cells ..."]]:
    """Predict every cell by ridge regression on blocks, adding one at a time, from the cells of the other folds.

    With :func:`cellprism.tl.variance_explained` this divides the variance of what was measured among the blocks of
    any embedding, whether or not it has a decoder.

    Parameters
    ----------
    blocks
        Name of a block to its embedding, cells x width, in the order in which they are added: ``{"shared": ...,
        "private": ...}``.
    values
        The same cells x features or images, transformed (for counts see :func:`cellprism.tl.log_normalize`).
    groups
        One group per cell, such as its donor. All cells of a group are held out together.
    n_folds
        Number of folds.
    seed
        Fixes the folds.

    Returns
    -------
    Name of a block to predictions from it and all before it, of the shape of ``values``. The penalty of each
    feature is chosen on its training cells, by generalised cross-validation.

    Raises
    ------
    ValueError
        If numbers of cells differ, there are NaN or infinite values, or too few cells for the folds.

    References
    ----------
    Generalised cross-validation: :cite:p:`golub1979`.

    Examples
    --------
    >>> import numpy as np
    >>> shared, private = np.random.default_rng(0).normal(size=(2, 100, 2))
    >>> predicted = block_regression({"shared": shared, "private": private}, shared + private)
    >>> bool(np.abs(predicted["private"] - shared - private).max() < 0.01)
    True
    """
    embeddings = {name: as_block(name, block) for name, block in blocks.items()}
    dense = as_dense(flattened(values))
    n_cells = common_length({**embeddings, "values": dense})
    _check_finite({**embeddings, "values": dense})
    fold_of = fold_numbers(n_cells, n_folds, groups=group_codes(groups, n_cells), seed=seed)
    names = list(embeddings)
    predicted = {}
    for position, name in enumerate(names):
        nested = np.hstack([embeddings[other] for other in names[: position + 1]])
        predicted[name] = shaped_like(cross_fit(nested, fold_of, "linear").predict(dense), values)
    return predicted


def _check_finite(matrices: Mapping[str, np.ndarray]) -> None:
    for name, matrix in matrices.items():
        if not np.isfinite(matrix).all():
            raise ValueError(
                f"Found NaN or infinite values in {name!r}, expected finite ones. "
                "Leave out the cells that lack a block or a measurement."
            )
