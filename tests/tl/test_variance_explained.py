import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import metrics

from cellprism.tl import r2_score
from cellprism.tl._variance_explained import variance_explained

RANGES = {"gaussian": (-3, 3), "poisson": (0.5, 6), "bernoulli": (0.05, 0.95)}


def drawn(deviance, n_cells=60):
    """Expected values of two nested predictions, and observations of the better one."""
    random = np.random.default_rng(0)
    expected = random.uniform(*RANGES[deviance], size=(n_cells, 4))
    coarse = (expected + expected.mean(axis=0)) / 2
    draws = {
        "gaussian": random.normal,
        "poisson": random.poisson,
        "bernoulli": lambda rates: random.binomial(1, rates),
    }
    observed = draws[deviance](expected)
    return observed.astype(float), {"shared": coarse, "private": expected}


@pytest.mark.parametrize("deviance", RANGES)
def test_shares_sum_to_one(deviance):
    shares = variance_explained(*drawn(deviance), deviance=deviance)
    np.testing.assert_allclose(shares.features.sum(axis=1), 1)
    assert shares.total.sum() == pytest.approx(1)
    assert list(shares.features) == list(shares.total.index) == ["shared", "private", "neither"]


def test_gaussian_shares_are_ratios_of_sums_of_squares():
    observed, steps = drawn("gaussian")
    shares = variance_explained(observed, steps)
    for k in range(4):
        r2 = [metrics.r2_score(observed[:, k], steps[step][:, k]) for step in ("shared", "private")]
        expected = [r2[0], r2[1] - r2[0], 1 - r2[1]]
        np.testing.assert_allclose(shares.features.loc[k], expected)
    assert shares.total["shared"] == pytest.approx(r2_score(observed, steps["shared"]))
    assert 1 - shares.total["neither"] == pytest.approx(r2_score(observed, steps["private"]))


def test_a_poisson_share_is_the_d2_of_scikit_learn():
    observed, steps = drawn("poisson")
    shares = variance_explained(observed, {"shared": steps["shared"]}, deviance="poisson")
    expected = [metrics.d2_tweedie_score(observed[:, k], steps["shared"][:, k], power=1) for k in range(4)]
    np.testing.assert_allclose(shares.features["shared"], expected)


def test_a_bernoulli_share_is_one_minus_the_ratio_of_log_losses():
    observed, steps = drawn("bernoulli")
    shares = variance_explained(observed, {"shared": steps["shared"]}, deviance="bernoulli")
    for k in range(4):
        seen, mean = observed[:, k], np.full(60, observed[:, k].mean())
        expected = 1 - metrics.log_loss(seen, steps["shared"][:, k]) / metrics.log_loss(seen, mean)
        assert shares.features.loc[k, "shared"] == pytest.approx(expected)


def test_a_prediction_that_is_the_mean_explains_nothing_and_the_truth_all():
    observed, _ = drawn("gaussian")
    mean = np.tile(observed.mean(axis=0), (60, 1))
    shares = variance_explained(observed, {"mean": mean, "truth": observed, "worse": observed + 1})
    np.testing.assert_allclose(shares.features["mean"], 0, atol=1e-12)
    np.testing.assert_allclose(shares.features["truth"], 1)
    np.testing.assert_allclose(shares.features["worse"], -1 / observed.var(axis=0))


def test_the_mean_of_the_training_cells_is_the_baseline_if_it_is_given():
    observed, steps = drawn("gaussian")
    mean = observed.mean(axis=0) + 0.5
    shares = variance_explained(observed, {"shared": steps["shared"]}, mean=mean)
    unexplained = ((observed - steps["shared"]) ** 2).sum(axis=0) / ((observed - mean) ** 2).sum(axis=0)
    np.testing.assert_allclose(shares.features["neither"], unexplained)


def test_knowing_the_depth_of_a_cell_explains_nothing_where_depth_is_given():
    random = np.random.default_rng(1)
    observed = random.poisson(np.outer(random.uniform(1, 9, size=50), [1.0, 2.0, 5.0])).astype(float)
    depth = observed.sum(axis=1)
    scaled = {"depth": np.outer(depth, observed.sum(axis=0) / observed.sum())}
    expected = variance_explained(observed, scaled, deviance="poisson", depth=depth)
    np.testing.assert_allclose(expected.features["depth"], 0, atol=1e-12)
    assert variance_explained(observed, scaled, deviance="poisson").total["depth"] > 0.3


def test_sparse_matrices_images_and_data_frames_give_the_same_shares_as_arrays(monkeypatch):
    observed, steps = drawn("poisson")
    expected = variance_explained(observed, steps, deviance="poisson")
    monkeypatch.setattr("cellprism.tl._variance_explained._CELLS_AT_ONCE", 7)
    for to in (sparse.csr_matrix, sparse.csc_array, lambda matrix: matrix.reshape(60, 1, 2, 2), pd.DataFrame):
        found = variance_explained(to(observed), {step: to(m) for step, m in steps.items()}, deviance="poisson")
        pd.testing.assert_frame_equal(found.features, expected.features)
        pd.testing.assert_series_equal(found.total, expected.total)


def test_features_are_named_by_columns_or_as_told():
    observed, steps = drawn("gaussian")
    genes = ["CD3E", "CD4", "CD8A", "MS4A1"]
    table = variance_explained(pd.DataFrame(observed, columns=genes), steps).features
    assert list(table.index) == genes
    pd.testing.assert_frame_equal(variance_explained(observed, steps, feature_names=genes).features, table)


def test_features_without_variance_have_no_shares_but_their_errors_count():
    observed, steps = drawn("gaussian")
    observed[:, 1] = 2
    shares = variance_explained(observed, steps)
    assert shares.features.loc[1].isna().all()
    assert shares.features.drop(1).notna().all(axis=None)
    assert 1 - shares.total["neither"] == pytest.approx(r2_score(observed, steps["private"]))


def test_counts_that_no_training_cell_had_are_left_out_of_the_total():
    observed, steps = drawn("poisson")
    mean = observed.mean(axis=0) * [1, 0, 1, 1]
    shares = variance_explained(observed, steps, deviance="poisson", mean=mean)
    rest = {step: matrix[:, [0, 2, 3]] for step, matrix in steps.items()}
    expected = variance_explained(observed[:, [0, 2, 3]], rest, deviance="poisson").total
    assert shares.features.loc[1].isna().all()
    pd.testing.assert_series_equal(shares.total, expected)


def test_probabilities_of_zero_and_one_are_taken():
    observed, steps = drawn("bernoulli")
    shares = variance_explained(observed, {**steps, "truth": observed}, deviance="bernoulli")
    np.testing.assert_allclose(shares.features["neither"], 0, atol=1e-6)


def test_variance_explained_says_what_does_not_fit():
    observed, steps = drawn("poisson")
    with pytest.raises(ValueError, match=r"shape \(60, 4\) and predicted values of shape \(59, 4\)"):
        variance_explained(observed, {"shared": observed[1:]})
    with pytest.raises(ValueError, match=r"predictions \['neither'\], expected one or more"):
        variance_explained(observed, {"neither": observed})
    with pytest.raises(ValueError, match="deviance='mse', expected one of"):
        variance_explained(observed, steps, deviance="mse")
    with pytest.raises(ValueError, match="depth for deviance='gaussian'"):
        variance_explained(observed, steps, depth=observed.sum(axis=1))
    with pytest.raises(ValueError, match=r"from -1 to .* in predictions\['shared'\], expected them between 0 and inf"):
        variance_explained(observed, {"shared": observed - 1}, deviance="poisson")
    with pytest.raises(ValueError, match="in observed, expected them between 0 and 1"):
        variance_explained(observed, steps, deviance="bernoulli")
    with pytest.raises(ValueError, match=r"predictions\['zero'\] are 0 where counts were observed, in 4 features"):
        variance_explained(observed, {"zero": 0 * observed}, deviance="poisson")
    with pytest.raises(ValueError, match="NaN or infinite values in observed"):
        variance_explained(np.nan * observed, steps)
    with pytest.raises(ValueError, match=r"mean of shape \(60, 4\) for 4 features"):
        variance_explained(observed, steps, mean=observed)
    with pytest.raises(ValueError, match=r"depth of shape \(59,\) for 60 cells"):
        variance_explained(observed, steps, deviance="poisson", depth=np.ones(59))
    with pytest.raises(ValueError, match="3 feature names for 4 features"):
        variance_explained(observed, steps, feature_names=["a", "b", "c"])
    table = pd.DataFrame(observed)
    with pytest.raises(ValueError, match=r"other features in predictions\['shared'\] than in observed"):
        variance_explained(table, {"shared": table[[3, 2, 1, 0]]})
