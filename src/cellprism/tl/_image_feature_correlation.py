"""How well measured features of true images agree with those of predicted ones."""

import numpy as np
import pandas as pd

from cellprism.tl._feature_correlation import feature_correlation


def image_feature_correlation(true: pd.DataFrame, predicted: pd.DataFrame) -> pd.Series:
    """Pearson correlation over cells of every feature measured in true and in predicted images.

    Tells which of the shapes, intensities and textures of an image a translation gets right, whether or not each
    pixel is at its place.

    Parameters
    ----------
    true, predicted
        Cells x features, as of :func:`cellprism.pp.image_features`. Matched by the names of cells and features.

    Returns
    -------
    One correlation per feature, over the cells in which both are finite. NaN where the feature is constant in
    either table, or fewer than 2 such cells are left.

    Raises
    ------
    ValueError
        If the tables hold other cells or other features.

    Examples
    --------
    >>> import pandas as pd
    >>> true = pd.DataFrame({"area": [1.0, 2.0, 4.0], "channels": [1.0, 1.0, 1.0]})
    >>> image_feature_correlation(true, 2 * true).to_dict()
    {'area': 1.0, 'channels': nan}
    """
    for what, ours, theirs in (("cells", true.index, predicted.index), ("features", true.columns, predicted.columns)):
        if not ours.is_unique or len(ours) != len(theirs) or len(ours.difference(theirs)):
            raise ValueError(
                f"Found {len(ours)} {what} of true and {len(theirs)} of predicted images, "
                f"{len(ours.intersection(theirs))} of them in common, expected the same unique names in both."
            )
    predicted = predicted.loc[true.index, true.columns]
    correlations = [_correlation(true[name].to_numpy(float), predicted[name].to_numpy(float)) for name in true]
    return pd.Series(correlations, index=true.columns, name="correlation", dtype=float)


def _correlation(true: np.ndarray, predicted: np.ndarray) -> float:
    known = np.isfinite(true) & np.isfinite(predicted)
    if known.sum() < 2:
        return float("nan")
    return float(feature_correlation(true[known, None], predicted[known, None])[0])
