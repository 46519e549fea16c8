import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cellprism import tl


@pytest.fixture
def images():
    """True, predicted and training images of two channels."""
    true, error, training = np.random.default_rng(0).random((3, 25, 2, 8, 7))
    return true, 0.8 * true + 0.2 * error, training


def measured(pixels):
    """Three features: mean, spread, and one that never varies."""
    return pd.DataFrame({"mean": pixels.mean(axis=(1, 2, 3)), "sd": pixels.std(axis=(1, 2, 3)), "n_channels": 2})


def test_image_feature_correlation_equals_scipy_and_is_nan_where_constant(images):
    tables = [measured(side) for side in images[:2]]
    correlation = tl.image_feature_correlation(*tables)
    for name in ("mean", "sd"):
        assert correlation[name] == pytest.approx(stats.pearsonr(*(table[name] for table in tables)).statistic)
    assert np.isnan(correlation["n_channels"])


def test_image_feature_correlation_matches_names_of_cells_and_features(images):
    true, predicted = (measured(side) for side in images[:2])
    expected = tl.image_feature_correlation(true, predicted)
    order = np.random.default_rng(1).permutation(25)
    pd.testing.assert_series_equal(
        tl.image_feature_correlation(true, predicted.iloc[order][["sd", "n_channels", "mean"]]), expected
    )


def test_image_feature_correlation_leaves_out_cells_without_a_measurement(images):
    true, predicted = (measured(side) for side in images[:2])
    expected = tl.image_feature_correlation(true[4:], predicted[4:])["mean"]
    true.loc[:1, "mean"], predicted.loc[2:3, "mean"] = np.nan, np.nan
    found = tl.image_feature_correlation(true, predicted)
    assert found["mean"] == pytest.approx(expected)
    true["mean"] = np.nan
    assert np.isnan(tl.image_feature_correlation(true, predicted)["mean"])


def test_image_feature_correlation_refuses_other_cells_or_features(images):
    true, predicted = (measured(side) for side in images[:2])
    with pytest.raises(ValueError, match="25 cells of true and 24 of predicted images, 24 of them in common"):
        tl.image_feature_correlation(true, predicted[1:])
    with pytest.raises(ValueError, match="3 features of true and 3 of predicted images, 2 of them in common"):
        tl.image_feature_correlation(true, predicted.rename(columns={"sd": "spread"}))


def test_the_table_holds_each_score_of_each_method(images):
    true, predicted, training = images
    methods = {"model": predicted, "truth": true}
    table = tl.image_translation_scores(
        true, methods, training=training, features=measured, channels=["DNA", "pH3"], n_components=3
    )
    similarity = tl.structural_similarity(true, predicted)
    assert table.loc["model"].to_dict() == pytest.approx(
        {
            "mse": tl.pixel_error(true, predicted),
            "rmse": tl.pixel_error(true, predicted, "rmse"),
            "relative_error": tl.pixel_error(true, predicted, "relative", training=training),
            "ssim": similarity.mean(),
            "ssim DNA": similarity[0],
            "ssim pH3": similarity[1],
            "components_r2": tl.components_r2(*(x.reshape(25, -1) for x in images), 3),
            "feature_correlation": tl.image_feature_correlation(measured(true), measured(predicted)).mean(),
        }
    )
    perfect = {"mse": 0, "rmse": 0, "relative_error": 0, "ssim": 1, "ssim DNA": 1, "ssim pH3": 1}
    assert table.loc["truth"].to_dict() == pytest.approx({**perfect, "components_r2": 1, "feature_correlation": 1})


def test_a_feature_that_is_predicted_constant_counts_as_zero(images):
    true, predicted, _ = images
    same_spread = (predicted - predicted.mean(axis=(1, 2, 3), keepdims=True)) * 0 + true.mean()
    table = tl.image_translation_scores(true, {"flat": same_spread}, features=measured)
    assert table.loc["flat", "feature_correlation"] == 0


def test_integer_truth_and_shares_are_one_scale(images):
    true, predicted, training = images
    as_bytes = [np.round(side * 255).astype(np.uint8) for side in (true, training)]
    shares = [side / np.float32(255) for side in as_bytes]
    expected = tl.image_translation_scores(shares[0], {"": predicted}, training=shares[1], features=measured)
    found = tl.image_translation_scores(as_bytes[0], {"": predicted}, training=as_bytes[1], features=measured)
    pd.testing.assert_frame_equal(found, expected, rtol=1e-4)


def test_the_table_has_only_the_columns_that_were_asked_for(images):
    one_channel = [side[:, :1] for side in images]
    table = tl.image_translation_scores(one_channel[0], {"model": one_channel[1]}, channels=["DNA"])
    assert list(table) == ["mse", "rmse", "relative_error", "ssim"]
    with pytest.raises(ValueError, match=r"channels=\['DNA'\] for 2 channels"):
        tl.image_translation_scores(images[0], {"model": images[1]}, channels=["DNA"])


def test_scores_of_baselines_order_as_they_should_on_images_of_a_shared_factor():
    random = np.random.default_rng(0)
    factor = random.random((120, 1))
    blob = np.exp(-((np.arange(10) - 4.5)[:, None] ** 2 + (np.arange(10) - 4.5) ** 2) / 8)
    target = np.clip(factor[:, :, None, None] * blob + 0.02 * random.normal(size=(120, 1, 10, 10)), 0, 1)
    source = np.hstack([factor, -factor]) + 0.02 * random.normal(size=(120, 2))
    training, held_out = slice(0, 80), slice(80, 120)
    pairs = source[training], target[training], source[held_out]
    methods = {
        "mean image": tl.baselines.mean_profile(target[training], 40),
        "nearest donor": tl.baselines.nearest_donor(*pairs),
        "ridge": tl.baselines.ridge(*pairs),
    }
    table = tl.image_translation_scores(target[held_out], methods, training=target[training])
    assert table["components_r2"].is_monotonic_increasing
    assert table["relative_error"].is_monotonic_decreasing
    assert table.loc["mean image", "relative_error"] == pytest.approx(1)
    assert table.loc["ridge", "relative_error"] < 0.1
