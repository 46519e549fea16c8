"""One table of how well several methods predict the same held-out images."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from cellprism.tl._components import fit_components
from cellprism.tl._components_r2 import r2_on_components
from cellprism.tl._image_feature_correlation import image_feature_correlation
from cellprism.tl._pixel_error import pixel_error
from cellprism.tl._pixels import Images, TrainingImages, as_pixels
from cellprism.tl._structural_similarity import structural_similarity


def image_translation_scores(
    true: Images,
    predictions: Mapping[str, Images],
    *,
    training: TrainingImages | None = None,
    features: Callable[[np.ndarray], pd.DataFrame] | None = None,
    channels: Sequence[str] | np.ndarray | None = None,
    data_range: float = 1.0,
    n_components: int = 30,
) -> pd.DataFrame:
    """Score several predictions of the same held-out images, one row per method.

    Parameters
    ----------
    true
        Images of held-out cells. Integer images are read as shares of their type's range.
    predictions
        Method to its prediction of ``true``, on the same scale.
    training
        True images of the training cells. Adds the column ``components_r2``, and is what ``relative_error``
        compares with.
    features
        Measures images, as :func:`cellprism.pp.image_features` does: images to a table of cells x features. Adds
        the column ``feature_correlation``.
    channels
        Names of the channels. With more than one channel, adds a column ``ssim <channel>`` for each.
    data_range
        Largest difference two pixels can have, for the structural similarity.
    n_components
        Number of components for ``components_r2``.

    Returns
    -------
    DataFrame indexed by ``method``.

    - ``mse``, ``rmse``, ``relative_error``: :func:`pixel_error` of the three kinds.
    - ``ssim``: :func:`structural_similarity`, mean over channels.
    - ``components_r2``: :func:`components_r2` of the pixels.
    - ``feature_correlation``: mean of :func:`image_feature_correlation` over the features that vary among the true
      images. A feature that is constant among the predicted ones counts as 0.

    Raises
    ------
    ValueError
        If shapes or scales differ, or pixels are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> true = np.random.default_rng(0).random((9, 1, 8, 8))
    >>> mean = np.tile(true.mean(axis=0), (9, 1, 1, 1))
    >>> scores = image_translation_scores(true, {"truth": true, "mean image": mean})
    >>> scores["relative_error"].round(6).to_dict()
    {'truth': 0.0, 'mean image': 1.0}
    """
    names = _channel_names(channels, true.shape[1])
    features_of_true = None if features is None else features(as_pixels(true))
    components = None if training is None else fit_components(as_pixels(training), n_components)
    rows = {}
    for method, predicted in predictions.items():
        row = _errors(true, predicted, training)
        similarity = structural_similarity(true, predicted, data_range=data_range)
        row |= {"ssim": similarity.mean(), **dict(zip(names, similarity, strict=False))}
        if components is not None:
            row["components_r2"] = r2_on_components(components, as_pixels(true), as_pixels(predicted))
        if features is not None:
            row["feature_correlation"] = _mean_correlation(features_of_true, features(as_pixels(predicted)))
        rows[method] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")


def _channel_names(channels: Sequence[str] | np.ndarray | None, n_channels: int) -> list[str]:
    """Give the columns of similarities by channel, none where there is one channel or no names."""
    if channels is None:
        return []
    if len(channels) != n_channels:
        raise ValueError(f"Found channels={list(channels)} for {n_channels} channels, expected one name per channel.")
    return [f"ssim {name}" for name in channels] if n_channels > 1 else []


def _errors(true: Images, predicted: Images, training: TrainingImages | None) -> dict[str, float]:
    mse = pixel_error(true, predicted)
    relative = pixel_error(true, predicted, "relative", training=training)
    return {"mse": mse, "rmse": mse**0.5, "relative_error": relative}


def _mean_correlation(true: pd.DataFrame, predicted: pd.DataFrame) -> float:
    varies = true.max() > true.min()
    correlation = image_feature_correlation(true, predicted)[varies]
    return float(correlation.fillna(0).mean()) if len(correlation) else float("nan")
