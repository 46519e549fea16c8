"""How the variance of what was measured divides among the blocks of a latent space."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import sparse

from cellprism.tl._deviance import Deviance, check_range, deviance_of
from cellprism.tl._matrices import Matrix, as_dense, check_same_shape, flattened

_NEITHER = "neither"
_CELLS_AT_ONCE = 1024


class VarianceExplained(NamedTuple):
    """Shares of the variance, or deviance, that each step of nested predictions adds, and the rest.

    ``features`` has a row per feature, ``total`` pools the deviance of all features. Columns of the one and entries of
    the other are the steps and ``"neither"``; they sum to 1.
    """

    features: pd.DataFrame
    total: pd.Series


def variance_explained(
    observed: Matrix | pd.DataFrame,
    predictions: Mapping[str, Matrix | pd.DataFrame],
    *,
    deviance: Deviance = "gaussian",
    mean: np.ndarray | pd.Series | None = None,
    depth: np.ndarray | pd.Series | None = None,
    feature_names: Sequence[str] | np.ndarray | pd.Index | None = None,
) -> VarianceExplained:
    r"""Divide the variance of each feature among nested predictions, in their order.

    With :math:`D_k` the deviance of a feature from the k-th prediction, summed over cells, and :math:`D_0` that from
    the mean profile, step k adds the share

    .. math:: \frac{D_{k-1} - D_k}{D_0}

    and what the last one leaves is ``"neither"``. With a single step this is the share of deviance explained; for
    ``"gaussian"`` that is R2.

    Parameters
    ----------
    observed
        Cells x features or images. Best held-out cells: on training cells a block explains noise as well.
    predictions
        Step to predictions of the same cells, each from the blocks of all steps so far:
        ``{"shared": from the shared block, "private": from shared and private}``. For any embedding see
        :func:`cellprism.tl.baselines.block_regression`.
    deviance
        ``"gaussian"``: squared differences. ``"poisson"``: for counts, predictions are expected counts.
        ``"bernoulli"``: for values of 0 and 1, predictions are probabilities, kept 1e-7 from 0 and 1.
    mean
        Mean of each feature over the training cells. By default over the cells of ``observed``.
    depth
        Only for ``"poisson"``: total counts of each cell. The mean profile is then scaled to it, so that no
        step is credited with knowing how deeply a cell was sequenced.
    feature_names
        One name per feature. By default the columns of ``observed`` if it is a DataFrame, else numbers.

    Returns
    -------
    Shares by feature and in total. A share is negative where a step makes predictions worse. Features that do not vary
    about the mean profile are NaN, and so are those observed in cells where it has none (infinite deviance), which
    ``total`` leaves out.

    Raises
    ------
    ValueError
        If shapes differ, values are out of the range of the deviance, counts were observed where none are predicted,
        or a step is called ``"neither"``.

    References
    ----------
    Shares of deviance beside R2: :cite:p:`cameron1997`.

    Examples
    --------
    >>> import numpy as np
    >>> observed = np.array([[0.0], [2.0], [4.0], [6.0]])
    >>> from_shared = np.array([[1.0], [1.0], [5.0], [5.0]])
    >>> shares = variance_explained(observed, {"shared": from_shared, "private": observed})
    >>> shares.total.to_dict()
    {'shared': 0.8, 'private': 0.2, 'neither': 0.0}
    """
    _check_options(predictions, depth, deviance)
    _check_labels(observed, predictions)
    names = _feature_names(observed, feature_names)
    seen, steps = _by_cell(observed), {step: _by_cell(matrix) for step, matrix in predictions.items()}
    _check_shapes(seen, steps, names)
    found = _deviances(seen, steps, _mean_profile(seen, mean, depth), deviance)
    shares = pd.DataFrame(_shares(found), index=[*steps, _NEITHER], columns=names).T
    counted = np.isfinite(found[0])
    _check_predicted(found[:, counted], list(steps))
    total = _shares(found[:, counted].sum(axis=1))
    return VarianceExplained(shares, pd.Series(total, index=[*steps, _NEITHER]))


def _deviances(
    seen: Matrix, steps: Mapping[str, Matrix], profile: Callable[[slice], np.ndarray], deviance: Deviance
) -> Float[np.ndarray, "steps_and_mean features"]:
    """Sum the deviances over cells, from the mean profile first and then from each step, some cells at a time."""
    unit = deviance_of(deviance)
    summed = np.zeros((1 + len(steps), seen.shape[1]))
    for start in range(0, seen.shape[0], _CELLS_AT_ONCE):
        cells = slice(start, start + _CELLS_AT_ONCE)
        rows = as_dense(seen[cells])
        check_range("observed", rows, deviance)
        for row, (name, predicted) in zip(summed, _predicted_rows(steps, profile, cells), strict=True):
            check_range(name, predicted, deviance)
            row += unit(rows, predicted).sum(axis=0)
    return summed


def _predicted_rows(
    steps: Mapping[str, Matrix], profile: Callable[[slice], np.ndarray], cells: slice
) -> Iterator[tuple[str, np.ndarray]]:
    yield "mean", profile(cells)
    for step, matrix in steps.items():
        yield f"predictions[{step!r}]", as_dense(matrix[cells])


def _mean_profile(
    seen: Matrix, mean: np.ndarray | pd.Series | None, depth: np.ndarray | pd.Series | None
) -> Callable[[slice], np.ndarray]:
    """Give what is predicted without any block: the mean, or each feature's share of the cell's depth."""
    means = np.asarray(seen.mean(axis=0) if mean is None else mean, dtype=np.float64).ravel()
    if len(means) != seen.shape[1]:
        raise ValueError(
            f"Found mean of shape {np.shape(mean)} for {seen.shape[1]} features, expected one value per feature: "
            "training.mean(axis=0)."
        )
    if depth is None:
        return lambda cells: means[None]
    depths = np.asarray(depth, dtype=np.float64)
    if depths.shape != (seen.shape[0],):
        raise ValueError(f"Found depth of shape {depths.shape} for {seen.shape[0]} cells, expected one value per cell.")
    return lambda cells: np.outer(depths[cells], means / means.sum())


def _shares(found: np.ndarray) -> np.ndarray:
    """Turn deviances, the mean profile's first, into what each step adds and what is left; NaN where not defined."""
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.concatenate([found[:-1] - found[1:], found[-1:]])
        return np.where((found[0] > 0) & np.isfinite(found[0]), parts / found[0], np.nan)


def _by_cell(matrix: Matrix | pd.DataFrame) -> Matrix:
    """Give one row per cell, in a form whose rows can be taken."""
    if isinstance(matrix, pd.DataFrame):
        return matrix.to_numpy()
    return matrix.tocsr() if sparse.issparse(matrix) else flattened(matrix)


def _feature_names(
    observed: Matrix | pd.DataFrame, given: Sequence[str] | np.ndarray | pd.Index | None
) -> pd.Index | None:
    if given is not None:
        return pd.Index(given)
    return observed.columns if isinstance(observed, pd.DataFrame) else None


def _check_labels(observed: Matrix | pd.DataFrame, predictions: Mapping[str, Matrix | pd.DataFrame]) -> None:
    """Raise where two DataFrames name their cells or features differently."""
    for step, matrix in predictions.items():
        if isinstance(observed, pd.DataFrame) and isinstance(matrix, pd.DataFrame):
            for noun, ours, theirs in zip(("cells", "features"), observed.axes, matrix.axes, strict=True):
                if not ours.equals(theirs):
                    raise ValueError(
                        f"Found other {noun} in predictions[{step!r}] than in observed, or another order, expected the "
                        "same. Use .reindex_like(observed), or arrays if the order is the same."
                    )


def _check_options(predictions: Mapping[str, Matrix | pd.DataFrame], depth: object, deviance: str) -> None:
    if _NEITHER in predictions or not predictions:
        raise ValueError(
            f"Found predictions {list(predictions)}, expected one or more, none called {_NEITHER!r}: "
            "{'shared': ..., 'private': ...}."
        )
    if depth is not None and deviance != "poisson":
        raise ValueError(f"Found depth for deviance={deviance!r}, expected it for 'poisson' only. Leave it out.")


def _check_shapes(seen: Matrix, steps: Mapping[str, Matrix], names: pd.Index | None) -> None:
    for matrix in steps.values():
        check_same_shape(seen, matrix)
    if names is not None and len(names) != seen.shape[1]:
        raise ValueError(f"Found {len(names)} feature names for {seen.shape[1]} features, expected one per feature.")


def _check_predicted(found: np.ndarray, steps: list[str]) -> None:
    for step, deviances in zip(steps, found[1:], strict=True):
        if np.isinf(deviances).any():
            raise ValueError(
                f"predictions[{step!r}] are 0 where counts were observed, in {np.isinf(deviances).sum()} features; "
                "expected more than 0 there. Add a small number, or use deviance='gaussian' for transformed values."
            )
