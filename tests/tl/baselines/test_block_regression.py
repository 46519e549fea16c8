import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cellprism.tl._variance_explained import variance_explained
from cellprism.tl.baselines._block_regression import block_regression


@pytest.fixture
def cells():
    """Blocks of two factors each; features of the shared block, of the private one, of both, and of noise."""
    random = np.random.default_rng(0)
    shared, private, noise = random.normal(size=(3, 200, 2))
    values = np.hstack([shared, private, shared + private, noise]) + 0.1 * random.normal(size=(200, 8))
    return {"shared": shared, "private": private}, values


def test_each_block_explains_the_features_it_carries(cells):
    blocks, values = cells
    shares = variance_explained(values, block_regression(blocks, values)).features.to_numpy()
    expected = np.array([[1, 0, 0], [0, 1, 0], [0.5, 0.5, 0], [0, 0, 1]]).repeat(2, axis=0)
    np.testing.assert_allclose(shares, expected, atol=0.1)


def test_predictions_are_nearly_those_of_scikit_learn_with_leave_one_out_penalties(cells):
    blocks, values = cells
    penalties = np.logspace(-3, 5, 20)
    regression = make_pipeline(StandardScaler(), RidgeCV(penalties, alpha_per_target=True))
    both = np.hstack([blocks["shared"], blocks["private"]])
    expected = cross_val_predict(regression, both, values, cv=KFold(5, shuffle=True, random_state=2))
    found = block_regression(blocks, values, seed=2)["private"]
    np.testing.assert_allclose(found[:, :6], expected[:, :6], atol=0.01)


def test_a_cell_does_not_see_itself(cells):
    blocks, values = cells
    changed = values.copy()
    changed[0] += 100
    before, after = (block_regression(blocks, matrix)["private"] for matrix in (values, changed))
    np.testing.assert_allclose(after[0], before[0])
    assert np.abs(after - before).max() > 0.1


def test_cells_of_a_group_do_not_see_each_other(cells):
    blocks, values = cells
    groups = np.arange(200) // 20
    changed = values.copy()
    changed[:20] += 100
    before, after = (block_regression(blocks, matrix, groups=groups)["private"] for matrix in (values, changed))
    np.testing.assert_allclose(after[:20], before[:20])


def test_sparse_values_and_images_are_predicted_as_dense_ones(cells):
    blocks, values = cells
    expected = block_regression(blocks, values)["shared"]
    np.testing.assert_array_equal(block_regression(blocks, sparse.csr_matrix(values))["shared"], expected)
    images = block_regression(blocks, values.reshape(200, 2, 2, 2))["shared"]
    np.testing.assert_array_equal(images, expected.reshape(200, 2, 2, 2))


def test_block_regression_says_what_does_not_fit(cells):
    blocks, values = cells
    with pytest.raises(ValueError, match="'values': 199"):
        block_regression(blocks, values[1:])
    values[3, 3] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite values in 'values'"):
        block_regression(blocks, values)
