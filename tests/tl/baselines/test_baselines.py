import numpy as np
import pytest
from scipy import sparse
from sklearn.cross_decomposition import CCA
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.preprocessing import StandardScaler

from cellprism.tl import baselines, label_transfer, r2_score
from cellprism.tl.baselines._cca import fit_canonical_axes


@pytest.fixture
def data():
    """Two modalities of three shared factors, with noise; 150 training and 50 held-out cells."""
    random = np.random.default_rng(0)
    factors = random.normal(size=(200, 3))
    source = factors @ random.normal(size=(3, 12)) + 0.3 * random.normal(size=(200, 12))
    target = factors @ random.normal(size=(3, 9)) + 0.3 * random.normal(size=(200, 9)) + 2
    labels = np.where(factors[:, 0] > 0.5, "high", np.where(factors[:, 0] < -0.5, "low", "middle"))
    return source, target, labels


def split(matrix):
    return matrix[:150], matrix[150:]


def test_mean_profile_is_the_mean_of_the_training_cells(data):
    target = split(data[1])[0]
    for matrix in (target, sparse.csr_matrix(target)):
        np.testing.assert_allclose(baselines.mean_profile(matrix, 4), np.tile(target.mean(axis=0), (4, 1)), rtol=1e-12)


def test_canonical_correlations_equal_those_of_scikit_learn(data):
    source, target = split(data[0])[0], split(data[1])[0]
    axes = fit_canonical_axes(source, target, 5, 3)
    components = PCA(5).fit_transform(source), PCA(5).fit_transform(target)
    x, y = CCA(3, max_iter=50_000, tol=1e-14).fit(*components).transform(*components)
    expected = [np.corrcoef(x[:, j], y[:, j])[0, 1] for j in range(3)]
    np.testing.assert_allclose(axes.correlations, expected, atol=1e-4)
    ours = axes.source(source)
    for j in range(3):
        assert abs(np.corrcoef(ours[:, j], x[:, j])[0, 1]) > 0.999


def test_cca_embedding_has_white_variates_with_the_canonical_correlations(data):
    source, target = data[:2]
    embedded = baselines.cca_embedding(*[split(m)[0] for m in (source, target)], split(source)[1], split(target)[1])
    x, y = embedded.source_training, embedded.target_training
    np.testing.assert_allclose(x.T @ x / 149, np.eye(x.shape[1]), atol=1e-8)
    cross = x.T @ y / 149
    np.testing.assert_allclose(cross, np.diag(np.diag(cross)), atol=1e-8)


def test_cca_embedding_does_not_change_when_training_cells_are_permuted(data):
    (x, held_x), (y, held_y) = split(data[0]), split(data[1])
    order = np.random.default_rng(1).permutation(150)
    expected = baselines.cca_embedding(x, y, held_x, held_y, n_canonical=3)
    permuted = baselines.cca_embedding(x[order], y[order], held_x, held_y, n_canonical=3)
    np.testing.assert_allclose(np.abs(permuted.source_held_out), np.abs(expected.source_held_out), atol=1e-6)


def test_cca_embedding_survives_features_that_repeat_each_other(data):
    (x, held_x), (y, held_y) = split(np.hstack([data[0]] * 2)), split(data[1])
    embedded = baselines.cca_embedding(x, y, held_x, held_y)
    assert all(np.isfinite(part).all() for part in embedded)
    expected = fit_canonical_axes(data[0][:150], y, 30, 3).correlations
    np.testing.assert_allclose(fit_canonical_axes(x, y, 30, 3).correlations, expected, atol=1e-8)


def test_nearest_donor_returns_the_true_partner_when_modalities_are_the_same(data):
    source = split(data[0])[0]
    donated = baselines.nearest_donor(source, source, source[:20])
    np.testing.assert_allclose(donated, source[:20])


def test_ridge_recovers_a_linear_map_without_noise(data):
    source, held_out = split(data[0])
    weights = np.random.default_rng(2).normal(size=(12, 5))
    predicted = baselines.ridge(source, source @ weights, held_out)
    assert r2_score(held_out @ weights, predicted) > 0.999


def test_ridge_equals_least_squares_on_components_when_cells_abound(data):
    (x, held_x), (y, held_y) = split(data[0]), split(data[1])
    source, target = PCA(3).fit(x), PCA(3).fit(y)
    reference = LinearRegression().fit(source.transform(x), target.transform(y))
    expected = target.inverse_transform(reference.predict(source.transform(held_x)))
    predicted = baselines.ridge(x, y, held_x, n_components=3)
    np.testing.assert_allclose(predicted, expected, atol=0.05)
    assert r2_score(held_y, predicted) > 0.8


def test_ridge_and_donor_agree_for_dense_and_sparse(data):
    (x, held_x), (y, _) = split(data[0]), split(data[1])
    for baseline in (baselines.ridge, baselines.nearest_donor):
        dense = baseline(x, y, held_x, n_components=4)
        from_sparse = baseline(*map(sparse.csr_matrix, (x, y, held_x)), n_components=4)
        np.testing.assert_allclose(from_sparse, dense, atol=1e-8)


def test_ridge_refuses_training_cells_that_are_not_the_same(data):
    with pytest.raises(ValueError, match="150 source and 149 target training cells"):
        baselines.ridge(data[0][:150], data[1][:149], data[0][150:])


def test_class_probabilities_equal_a_logistic_regression_on_scaled_components(data):
    (x, held_x), labels = split(data[0]), data[2][:150]
    components = PCA(4).fit(x)
    scaler = StandardScaler().fit(components.transform(x))
    reference = LogisticRegression(max_iter=5000).fit(scaler.transform(components.transform(x)), labels)
    expected = reference.predict_proba(scaler.transform(components.transform(held_x)))
    fitted = baselines.class_probabilities(x, labels, held_x, n_components=4)
    np.testing.assert_allclose(fitted.held_out, expected, atol=1e-3)
    assert list(fitted.classes) == ["high", "low", "middle"]


def test_class_probabilities_align_modalities_without_pairs(data):
    source, target, labels = data
    x = baselines.class_probabilities(split(source)[0], labels[:150], split(source)[1])
    y = baselines.class_probabilities(split(target)[0][::-1], labels[:150][::-1], split(target)[1])
    accuracy = label_transfer(x.training, labels[:150], y.held_out, labels[150:])
    assert accuracy > 0.75


def test_class_probabilities_ignore_cells_without_a_label(data):
    (x, held_x), labels = split(data[0]), data[2][:150].astype(object)
    labels[:30] = None
    fitted = baselines.class_probabilities(x, labels, held_x)
    assert fitted.training.shape == (150, 3)
    np.testing.assert_allclose(fitted.training.sum(axis=1), 1)


def test_label_class_means_are_probabilities_times_means(data):
    (x, held_x), (y, _), labels = split(data[0]), split(data[1]), data[2][:150]
    fitted = baselines.class_probabilities(x, labels, held_x)
    means = np.stack([y[labels == name].mean(axis=0) for name in ("high", "low", "middle")])
    for target in (y, sparse.csr_matrix(y)):
        predicted = baselines.label_class_means(x, labels, target, labels, held_x)
        np.testing.assert_allclose(predicted, fitted.held_out @ means, atol=1e-8)


def test_label_class_means_need_every_source_class_in_the_target(data):
    (x, held_x), (y, _), labels = split(data[0]), split(data[1]), data[2][:150]
    kept = labels != "middle"
    with pytest.raises(ValueError, match="Class 'middle' of the source has no training cell"):
        baselines.label_class_means(x, labels, y[kept], labels[kept], held_x)


def test_class_probabilities_need_two_classes(data):
    with pytest.raises(ValueError, match="1 classes among the labels"):
        baselines.class_probabilities(data[0][:150], ["same"] * 150, data[0][150:])


def as_images(matrix):
    """Twelve or nine features as two or one channels of images."""
    return matrix.reshape(len(matrix), -1, 3, 2 if matrix.shape[1] == 12 else 3)


@pytest.mark.parametrize("baseline", [baselines.ridge, baselines.nearest_donor])
def test_ridge_and_donor_take_pixels_as_features_and_give_images(data, baseline):
    (x, held_x), (y, _) = split(data[0]), split(data[1])
    expected = as_images(baseline(x, y, held_x))
    np.testing.assert_array_equal(baseline(as_images(x), as_images(y), as_images(held_x)), expected)
    np.testing.assert_array_equal(baseline(x, as_images(y), held_x), expected)


def test_means_of_images_are_images(data):
    (x, held_x), (y, _), labels = split(data[0]), split(data[1]), data[2][:150]
    np.testing.assert_array_equal(
        baselines.mean_profile(as_images(y), 4), as_images(baselines.mean_profile(y, 4)), strict=True
    )
    expected = as_images(baselines.label_class_means(x, labels, y, labels, held_x))
    found = baselines.label_class_means(as_images(x), labels, as_images(y), labels, as_images(held_x))
    np.testing.assert_array_equal(found, expected)


def test_embeddings_of_images_are_those_of_their_pixels(data):
    parts = [*(part for matrix in data[:2] for part in split(matrix)[:1]), split(data[0])[1], split(data[1])[1]]
    expected = baselines.cca_embedding(*parts)
    found = baselines.cca_embedding(*map(as_images, parts))
    for first, second in zip(found, expected, strict=True):
        np.testing.assert_array_equal(first, second)
