import numpy as np
import pytest
from scipy import sparse, stats
from sklearn import metrics
from sklearn.decomposition import PCA

from cellprism.tl import (
    components_r2,
    difference_correlation,
    explained_variance,
    feature_correlation,
    r2_score,
    translation_scores,
)


@pytest.fixture
def matrices():
    random = np.random.default_rng(0)
    true = random.normal(size=(50, 8)) * np.arange(1, 9)
    return true, true + 2 * random.normal(size=(50, 8)) + 1


@pytest.fixture
def groups():
    return np.array(["0h", "3h", "1h"] * 16 + ["0h", "3h"])


def test_feature_correlation_equals_scipy(matrices):
    true, predicted = matrices
    expected = [stats.pearsonr(true[:, j], predicted[:, j]).statistic for j in range(8)]
    np.testing.assert_allclose(feature_correlation(true, predicted), expected, atol=1e-12)


def test_feature_correlation_is_nan_exactly_where_a_feature_is_constant(matrices):
    true, predicted = matrices
    true[:, 2], predicted[:, 5] = 0.1, 0.3
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(feature_correlation(true, predicted))), [2, 5])


def test_feature_correlation_does_not_change_with_scale_offset_or_order_of_cells(matrices):
    true, predicted = matrices
    order = np.random.default_rng(1).permutation(50)
    np.testing.assert_allclose(
        feature_correlation(true[order], 3 * predicted[order] - 2), feature_correlation(true, predicted)
    )


@pytest.mark.parametrize("score", [feature_correlation, r2_score, explained_variance])
def test_scores_agree_for_dense_and_sparse(matrices, score):
    true, predicted = matrices
    np.testing.assert_allclose(score(sparse.csr_matrix(true), sparse.csc_matrix(predicted)), score(*matrices))


def test_pooled_scores_equal_scikit_learn(matrices):
    weighted = {"multioutput": "variance_weighted"}
    assert r2_score(*matrices) == pytest.approx(metrics.r2_score(*matrices, **weighted))
    assert explained_variance(*matrices) == pytest.approx(metrics.explained_variance_score(*matrices, **weighted))


def test_r2_of_the_mean_is_zero_and_of_the_truth_is_one(matrices):
    true, _ = matrices
    assert r2_score(true, np.tile(true.mean(axis=0), (50, 1))) == pytest.approx(0, abs=1e-12)
    assert r2_score(true, true) == 1


def test_components_r2_equals_scikit_learn_on_projected_cells(matrices):
    true, predicted = matrices
    training = np.random.default_rng(2).normal(size=(40, 8)) * np.arange(1, 9)
    components = PCA(3).fit(training)
    expected = metrics.r2_score(
        components.transform(true), components.transform(predicted), multioutput="variance_weighted"
    )
    assert components_r2(true, predicted, training, 3) == pytest.approx(expected)
    assert components_r2(true, predicted, sparse.csr_matrix(training), 3) == pytest.approx(expected)


def test_components_r2_on_all_components_is_the_r2(matrices):
    training = np.random.default_rng(2).normal(size=(40, 8))
    assert components_r2(*matrices, training, 30) == pytest.approx(r2_score(*matrices))


def test_difference_correlation_equals_scipy_on_differences_of_means(matrices, groups):
    true, predicted = matrices
    differences = [x[groups == "3h"].mean(axis=0) - x[groups == "0h"].mean(axis=0) for x in matrices]
    expected = stats.pearsonr(*differences).statistic
    for to in (np.asarray, sparse.csr_matrix):
        found = difference_correlation(to(true), to(predicted), groups, group="3h", reference="0h")
        assert found == pytest.approx(expected)


def test_difference_correlation_ignores_cells_of_other_groups(matrices, groups):
    true, predicted = matrices
    expected = difference_correlation(true, predicted, groups, group="3h", reference="0h")
    predicted[groups == "1h"] = 1e6
    assert difference_correlation(true, predicted, groups, group="3h", reference="0h") == expected


def test_difference_correlation_is_nan_for_a_prediction_that_is_the_same_for_all_cells(matrices, groups):
    true, _ = matrices
    assert np.isnan(difference_correlation(true, np.ones_like(true), groups, group="3h", reference="0h"))


def test_difference_correlation_names_the_groups_there_are(matrices, groups):
    with pytest.raises(ValueError, match=r"group '5h', expected one of \['0h', '1h', '3h'\]"):
        difference_correlation(*matrices, groups, group="5h", reference="0h")


def test_translation_scores_holds_each_score_of_each_method(matrices, groups):
    true, predicted = matrices
    methods = {"model": predicted, "none": np.ones_like(true)}
    table = translation_scores(true, methods, training=true, groups=groups, contrast=("3h", "0h"), n_components=3)
    assert list(table.index) == ["model", "none"]
    assert table.loc["model"].to_dict() == pytest.approx(
        {
            "feature_correlation": feature_correlation(true, predicted).mean(),
            "r2": r2_score(true, predicted),
            "components_r2": components_r2(true, predicted, true, 3),
            "difference_correlation": difference_correlation(true, predicted, groups, group="3h", reference="0h"),
        }
    )
    assert table.loc["none", "feature_correlation"] == 0


def test_translation_scores_gives_no_credit_for_features_predicted_constant(matrices):
    true, predicted = matrices
    half = predicted.copy()
    half[:, :4] = 0
    table = translation_scores(true, {"half": half})
    expected = feature_correlation(true, predicted)[4:].sum() / 8
    assert table.loc["half", "feature_correlation"] == pytest.approx(expected)


def test_translation_scores_leaves_out_features_whose_truth_is_constant(matrices):
    true, predicted = matrices
    true[:, 0] = 1
    table = translation_scores(true, {"model": predicted})
    expected = feature_correlation(true, predicted)[1:].mean()
    assert table.loc["model", "feature_correlation"] == pytest.approx(expected)


def test_scores_refuse_matrices_of_different_shape(matrices):
    with pytest.raises(ValueError, match=r"\(50, 8\) and predicted values of shape \(50, 7\)"):
        translation_scores(matrices[0], {"model": matrices[1][:, 1:]})


def test_translation_scores_refuses_groups_without_a_contrast(matrices, groups):
    with pytest.raises(ValueError, match="both groups and contrast"):
        translation_scores(matrices[0], {}, groups=groups)
