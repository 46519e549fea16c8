import numpy as np
import pytest
from scipy.ndimage import correlate
from skimage import metrics

from cellprism.tl import structural_similarity


@pytest.fixture
def images():
    true, other = np.random.default_rng(0).random((2, 6, 2, 12, 15))
    return true, 0.7 * true + 0.3 * other


def by_its_equation(x, y, window):
    """SSIM with sample covariances over every full window."""
    inner = (slice(window // 2, -(window // 2)),) * 2
    weights = np.full((window, window), 1 / window**2)

    def mean(image):
        return correlate(image, weights)[inner]

    unbiased = window**2 / (window**2 - 1)
    variance_x, variance_y = (unbiased * (mean(image**2) - mean(image) ** 2) for image in (x, y))
    covariance = unbiased * (mean(x * y) - mean(x) * mean(y))
    luminance = (2 * mean(x) * mean(y) + 0.01**2) / (mean(x) ** 2 + mean(y) ** 2 + 0.01**2)
    return np.mean(luminance * (2 * covariance + 0.03**2) / (variance_x + variance_y + 0.03**2))


def test_images_are_fully_similar_to_themselves(images):
    np.testing.assert_allclose(structural_similarity(images[0], images[0]), [1, 1])


def test_structural_similarity_equals_its_equation(images):
    true, predicted = images
    similarity = structural_similarity(true, predicted, window=5, per_cell=True)
    assert similarity.shape == (6, 2)
    for cell, channel in np.ndindex(6, 2):
        expected = by_its_equation(true[cell, channel], predicted[cell, channel], 5)
        assert similarity[cell, channel] == pytest.approx(expected, abs=1e-9)


def test_structural_similarity_is_the_mean_over_cells_of_scikit_image(images):
    expected = [
        np.mean([metrics.structural_similarity(x, y, data_range=1) for x, y in zip(*channel, strict=True)])
        for channel in zip(*(np.moveaxis(side, 1, 0) for side in images), strict=True)
    ]
    np.testing.assert_allclose(structural_similarity(*images), expected)


def test_structural_similarity_is_symmetric_and_follows_the_scale(images):
    expected = structural_similarity(*images)
    np.testing.assert_allclose(structural_similarity(*images[::-1]), expected)
    np.testing.assert_allclose(structural_similarity(*(9 * x for x in images), data_range=9), expected)


def test_images_smaller_than_the_window_take_the_largest_that_fits(images):
    small = [x[..., :6, :] for x in images]
    np.testing.assert_allclose(structural_similarity(*small), structural_similarity(*small, window=5))
    tiny = [x[..., :3, :3] for x in images]
    np.testing.assert_allclose(structural_similarity(*tiny, window=11), structural_similarity(*tiny, window=3))


def test_structural_similarity_says_what_does_not_fit(images):
    with pytest.raises(ValueError, match=r"span 9.* expected at most data_range=1"):
        structural_similarity(*(10 * x for x in images))
    with pytest.raises(ValueError, match="window=4, expected an odd number"):
        structural_similarity(*images, window=4)
    with pytest.raises(ValueError, match="a side of 2 pixels, expected at least 3 x 3"):
        structural_similarity(*(x[..., :2] for x in images))
