"""Correlation of predicted with true differences between two groups of cells."""

from typing import Any

import numpy as np

from cellprism.tl._matrices import Labels, Matrix, check_same_shape


def difference_correlation(true: Matrix, predicted: Matrix, groups: Labels, *, group: Any, reference: Any) -> float:
    """Pearson correlation, over features, of the predicted with the true mean difference between two groups.

    Parameters
    ----------
    true, predicted
        The same cells x features, on one scale.
    groups
        One group per cell.
    group, reference
        The two groups: means of ``group`` minus means of ``reference``.

    Returns
    -------
    Correlation; NaN where all true or all predicted differences are equal (a prediction that is the same for
    every cell).

    Raises
    ------
    ValueError
        If the shapes differ, or a group has no cells.

    Examples
    --------
    >>> import numpy as np
    >>> true = np.array([[0.0, 1.0, 5.0], [1.0, 3.0, 5.0]])
    >>> round(difference_correlation(true, 3 * true, ["0h", "3h"], group="3h", reference="0h"), 6)
    1.0
    """
    check_same_shape(true, predicted)
    groups = np.asarray(groups, dtype=object)
    if len(groups) != true.shape[0]:
        raise ValueError(f"Found {len(groups)} groups for {true.shape[0]} cells, expected one per cell.")
    for name in (group, reference):
        if not (groups == name).any():
            raise ValueError(f"Found no cell of group {name!r}, expected one of {sorted(map(str, set(groups)))}.")
    differences = [
        np.asarray(matrix[groups == group].mean(axis=0), dtype=np.float64).ravel()
        - np.asarray(matrix[groups == reference].mean(axis=0), dtype=np.float64).ravel()
        for matrix in (true, predicted)
    ]
    if min(np.ptp(difference) for difference in differences) == 0:
        return float("nan")
    return float(np.corrcoef(*differences)[0, 1])
