import numpy as np
import pytest

from cellprism.tl import pixel_error, r2_score


@pytest.fixture
def images():
    true, error = np.random.default_rng(0).random((2, 30, 2, 6, 5))
    return true, true + error - 0.5


def test_the_error_of_the_truth_is_zero(images):
    for kind in ("mse", "rmse", "relative"):
        assert pixel_error(images[0], images[0], kind) == 0


def test_an_offset_has_its_square_as_error(images):
    assert pixel_error(images[0], images[0] + 0.3) == pytest.approx(0.09)
    assert pixel_error(images[0], images[0] + 0.3, "rmse") == pytest.approx(0.3)


def test_the_mean_image_has_a_relative_error_of_one(images):
    training = np.random.default_rng(1).random((50, 2, 6, 5))
    for seen, given in ((training, training), (images[0], None)):
        mean = np.tile(seen.mean(axis=0), (30, 1, 1, 1))
        assert pixel_error(images[0], mean, "relative", training=given) == pytest.approx(1)


def test_the_relative_error_is_what_r2_leaves_unexplained(images):
    assert pixel_error(*images, "relative") == pytest.approx(1 - r2_score(*images))


def test_errors_per_cell_average_to_the_error(images):
    for kind in ("mse", "relative"):
        assert pixel_error(*images, kind, per_cell=True).mean() == pytest.approx(pixel_error(*images, kind))
    roots = pixel_error(*images, "rmse", per_cell=True)
    np.testing.assert_allclose(roots[3], np.sqrt(np.mean((images[0][3] - images[1][3]) ** 2)))


def test_integer_images_are_shares_of_their_range(images):
    shares = np.clip(np.round(images[0] * 255), 0, 255)
    as_bytes, as_words = shares.astype(np.uint8), (shares * 257).astype(np.uint16)
    assert pixel_error(as_bytes, (shares / 255).astype(np.float32)) == pytest.approx(0, abs=1e-12)
    assert pixel_error(as_bytes, as_words) == pytest.approx(0, abs=1e-12)


def test_the_relative_error_does_not_change_with_scale_or_order_of_cells(images):
    order = np.random.default_rng(1).permutation(30)
    scaled = [3 * x[order] + 2 for x in images]
    assert pixel_error(*scaled, "relative") == pytest.approx(pixel_error(*images, "relative"))


def test_the_relative_error_is_nan_where_all_true_images_are_the_same():
    assert np.isnan(pixel_error(np.ones((3, 1, 2, 2)), np.zeros((3, 1, 2, 2)), "relative"))


@pytest.mark.usefixtures("unchecked_types")
def test_pixel_error_says_what_does_not_fit(images):
    true, predicted = images
    with pytest.raises(ValueError, match=r"\(30, 2, 6, 5\) and predicted images of shape \(30, 2, 6, 4\)"):
        pixel_error(true, predicted[..., :4])
    with pytest.raises(ValueError, match=r"expected the same \(cells, channels, height, width\)"):
        pixel_error(true[:, 0], predicted[:, 0])
    with pytest.raises(ValueError, match="kind='mae', expected 'mse', 'rmse' or 'relative'"):
        pixel_error(true, predicted, "mae")
    with pytest.raises(ValueError, match=r"training images of shape \(30, 2, 6, 4\)"):
        pixel_error(true, predicted, "relative", training=true[..., :4])


def test_pixel_error_refuses_pixels_that_are_missing_or_on_another_scale(images):
    true, predicted = images[0], images[1].copy()
    with pytest.raises(ValueError, match=r"floating ones reach 2\d\d.*dividing by 255"):
        pixel_error(np.round(true * 255).astype(np.uint8), true * 255)
    predicted[[2, 5], 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="2 of 30 predicted images"):
        pixel_error(true, predicted)
