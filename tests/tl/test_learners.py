import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler

from cellprism.tl import _learners
from cellprism.tl._learners import Discriminant, Ridge


@pytest.fixture
def sides():
    """Training and held-out cells of a block whose columns differ in scale."""
    random = np.random.default_rng(0)
    block = random.normal(size=(120, 6)) * np.arange(1, 7) + 3
    return block[:90], block[90:]


def standardised(sides):
    scaler = StandardScaler().fit(sides[0])
    return [scaler.transform(side) for side in sides]


def test_ridge_with_one_penalty_is_that_of_scikit_learn(sides, monkeypatch):
    monkeypatch.setattr(_learners, "PENALTIES", np.array([0.1]))
    targets = np.random.default_rng(1).normal(size=(90, 3))
    training, held_out = standardised(sides)
    expected = SklearnRidge(alpha=0.1 * 90).fit(training, targets)
    fitted = Ridge(*sides).fit(targets)
    np.testing.assert_allclose(fitted.held_out, expected.predict(held_out), atol=1e-10)
    np.testing.assert_allclose(fitted.training, expected.predict(training), atol=1e-10)


def test_ridge_chooses_nearly_the_penalty_of_leave_one_out(sides):
    random = np.random.default_rng(2)
    training, held_out = standardised(sides)
    targets = training[:, :1] @ np.array([[1.0, 0.2, 0.0]]) + random.normal(size=(90, 3))
    exact = RidgeCV(_learners.PENALTIES * 90, alpha_per_target=True).fit(training, targets)
    np.testing.assert_allclose(Ridge(*sides)(targets), exact.predict(held_out), atol=0.05)


def test_ridge_survives_more_columns_than_cells_and_columns_that_are_constant():
    random = np.random.default_rng(3)
    wide = np.hstack([random.normal(size=(30, 60)), np.ones((30, 2))])
    assert np.isfinite(Ridge(wide[:20], wide[20:])(wide[:20, :3])).all()


def test_unpenalised_discriminant_has_the_log_odds_of_scikit_learn(sides, monkeypatch):
    monkeypatch.setattr(_learners, "PENALTIES", np.array([1e-12]))
    classes = np.digitize(sides[0][:, 0] + np.random.default_rng(4).normal(size=90), [2, 4])
    probabilities = LinearDiscriminantAnalysis().fit(sides[0], classes).predict_proba(sides[1])
    found = Discriminant(*sides)((classes[:, None] == np.arange(3)).astype(float))
    expected = np.log(probabilities / (1 - probabilities))
    # scikit-learn divides the pooled covariance by the degrees of freedom, which stretches the odds a little.
    np.testing.assert_allclose(found, expected, rtol=0.06, atol=0.06)


def test_discriminant_gives_no_odds_to_a_class_without_training_cells(sides):
    outputs = np.zeros((90, 3))
    outputs[:45, 0] = outputs[45:, 2] = 1
    log_odds = Discriminant(*sides)(outputs)
    assert np.isneginf(log_odds[:, 1]).all()
    assert np.isfinite(log_odds[:, [0, 2]]).all()
