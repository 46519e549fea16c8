import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import sparse, stats

from cellprism import pl

NAMES = ["good", "bad", "fair", "constant"]


@pytest.fixture
def matrices():
    random = np.random.default_rng(0)
    true = random.normal(size=(80, 4))
    predicted = 0.5 * true + np.array([0.1, 20, 1, 1]) * random.normal(size=(80, 4))
    predicted[:, 3] = 0.2
    return true, predicted


@pytest.mark.parametrize("to", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_the_best_and_the_worst_feature_that_vary_are_drawn(matrices, to):
    panels = pl.true_vs_predicted(*map(to, matrices), feature_names=NAMES)
    true, predicted = matrices
    for panel, j, rank in zip(panels, (0, 1), ("best", "worst"), strict=True):
        correlation = stats.pearsonr(true[:, j], predicted[:, j]).statistic
        assert panel.get_title() == f"{NAMES[j]} ({rank}), r = {correlation:.2f}"
        expected = np.stack([true[:, j], predicted[:, j]], axis=1)
        np.testing.assert_allclose(panel.collections[0].get_offsets().data, expected)


def test_the_fit_is_the_least_squares_line(matrices):
    panel = pl.true_vs_predicted(*matrices, feature_names=NAMES, features=["fair"])[0]
    fit = next(line for line in panel.lines if line.get_label() == "fit")
    slope, intercept = np.polyfit(matrices[0][:, 2], matrices[1][:, 2], 1)
    np.testing.assert_allclose(fit.get_ydata(), intercept + slope * np.asarray(fit.get_xdata()))


def test_a_chosen_feature_that_is_constant_is_drawn_without_a_fit(matrices):
    panel = pl.true_vs_predicted(*matrices, feature_names=NAMES, features=["constant"])[0]
    assert panel.get_title() == "constant, r = nan"
    assert [line.get_label() for line in panel.lines] == ["perfect"]


def test_true_vs_predicted_draws_into_the_axes_it_is_given(matrices, shown):
    _, axes = plt.subplots(1, 2)
    assert list(pl.true_vs_predicted(*matrices, feature_names=NAMES, ax=axes)) == list(axes)
    assert shown == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"feature_names": NAMES[:2]}, "2 feature names"),
        ({"feature_names": NAMES, "features": ["LYST"]}, r"\['LYST'\] are not among"),
    ],
)
def test_true_vs_predicted_says_what_does_not_fit(matrices, options, message):
    with pytest.raises(ValueError, match=message):
        pl.true_vs_predicted(*matrices, **options)


def test_true_vs_predicted_refuses_matrices_that_never_vary():
    with pytest.raises(ValueError, match="No feature varies"):
        pl.true_vs_predicted(np.ones((3, 2)), np.ones((3, 2)), feature_names=["a", "b"])
