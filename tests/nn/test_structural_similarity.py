import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity as of_skimage

from cellprism.nn import structural_similarity


def pictures() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    first = random.random((3, 2, 16, 21))
    return first, (first + 0.3 * random.normal(size=first.shape)).clip(0, 1)


def found(first: np.ndarray, second: np.ndarray, **settings) -> np.ndarray:
    return structural_similarity(*(torch.from_numpy(np.float32(x)) for x in (first, second)), **settings).numpy()


@pytest.mark.parametrize("window", [7, 5])
def test_every_window_is_that_of_skimage(window):
    first, second = pictures()
    edge = window // 2
    settings = {"win_size": window, "use_sample_covariance": True, "data_range": 1, "full": True}
    for cell, channel in np.ndindex(first.shape[:2]):
        expected = of_skimage(first[cell, channel], second[cell, channel], **settings)[1][edge:-edge, edge:-edge]
        np.testing.assert_allclose(found(first, second, window=window)[cell, channel], expected, atol=1e-4)


def test_it_is_one_for_equal_images_and_symmetric():
    first, second = pictures()
    np.testing.assert_allclose(found(first, first), 1, atol=1e-5)
    np.testing.assert_allclose(found(first, second), found(second, first), atol=1e-6)


def test_constant_images_are_compared_by_brightness_alone():
    dark, bright = np.full((1, 1, 16, 16), 0.2), np.full((1, 1, 16, 16), 0.6)
    expected = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    np.testing.assert_allclose(found(dark, bright), expected, rtol=1e-3)


def test_gradients_are_finite_for_constant_images():
    image = torch.full((1, 1, 16, 16), 0.5, requires_grad=True)
    structural_similarity(image, torch.zeros(1, 1, 16, 16)).sum().backward()
    assert torch.isfinite(image.grad).all()
