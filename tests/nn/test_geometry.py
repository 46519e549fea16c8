import math

import numpy as np
import pytest
import torch

from cellprism.nn import flip_and_turn, turn_and_shift

CODES = range(8)
NOWHERE = torch.zeros(1, 2)


def picture(height: int = 6, width: int = 6) -> torch.Tensor:
    return torch.rand(1, 2, height, width, generator=torch.Generator().manual_seed(0))


def moved(images: torch.Tensor, code: int) -> torch.Tensor:
    return flip_and_turn(images, torch.full((len(images),), code))


def turned(images: torch.Tensor, degrees: float, **settings) -> torch.Tensor:
    return turn_and_shift(
        images, torch.full((len(images),), float(degrees)), NOWHERE.expand(len(images), 2), **settings
    )


def shifted(images: torch.Tensor, down: float, right: float) -> torch.Tensor:
    return turn_and_shift(images, torch.zeros(1), torch.tensor([[down, right]]))


def spot(height: int, width: int, down: float, right: float) -> torch.Tensor:
    """A round spot so far from the centre; unit: pixels."""
    rows, columns = torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2
    squared_distance = (rows[:, None] - down).square() + (columns[None, :] - right).square()
    return torch.exp(-squared_distance / (2 * 2.5**2))[None, None]


def moments(image: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Centre of gravity, from the centre of the image, and covariance; unit: pixels."""
    values = image[0, 0].numpy()
    places = np.stack(np.indices(values.shape), axis=-1) - (np.array(values.shape) - 1) / 2
    weights = values / values.sum()
    mean = (weights[..., None] * places).sum((0, 1))
    return mean, np.einsum("hw,hwi,hwj->ij", weights, places - mean, places - mean)


def test_the_eight_symmetries_are_a_group():
    image = picture()
    results = [moved(image, code) for code in CODES]
    for first in CODES:
        found = [[torch.equal(moved(results[first], second), one) for one in results] for second in CODES]
        assert (np.sum(found, axis=0) == 1).all()
        assert (np.sum(found, axis=1) == 1).all()


@pytest.mark.parametrize(("code", "quarter_turns"), [(0, 0), (5, 1), (3, 2), (6, 3)])
def test_turns_are_those_of_numpy(code, quarter_turns):
    image = picture()
    np.testing.assert_array_equal(moved(image, code).numpy(), np.rot90(image.numpy(), quarter_turns, axes=(2, 3)))


@pytest.mark.parametrize("code", [1, 2, 4, 7])
def test_mirrors_undo_themselves(code):
    assert not torch.equal(moved(picture(), code), picture())
    assert torch.equal(moved(moved(picture(), code), code), picture())


def test_each_image_is_moved_by_its_own_code():
    images = picture().repeat(8, 1, 1, 1)
    together = flip_and_turn(images, torch.arange(8))
    for code in CODES:
        assert torch.equal(together[code : code + 1], moved(picture(), code))


@pytest.mark.parametrize(("degrees", "code"), [(0, 0), (90, 5), (180, 3), (270, 6), (-90, 6)])
@pytest.mark.parametrize("side", [6, 7])
def test_right_angles_are_the_exact_turns(degrees, code, side):
    image = picture(side, side)
    torch.testing.assert_close(turned(image, degrees), moved(image, code), rtol=0, atol=1e-5)


def test_half_a_turn_of_a_rectangle_is_exact():
    image = picture(5, 8)
    torch.testing.assert_close(turned(image, 180), image.flip(2, 3), rtol=0, atol=1e-5)


@pytest.mark.parametrize("degrees", [30, 90, -135])
def test_rectangles_are_turned_without_shear(degrees):
    mean, covariance = moments(turned(spot(33, 56, 2.0, 5.0), degrees))
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    np.testing.assert_allclose(mean, [2 * cosine - 5 * sine, 2 * sine + 5 * cosine], atol=0.05)
    np.testing.assert_allclose(covariance, 2.5**2 * np.eye(2), atol=0.3)


def test_a_shift_by_a_pixel_moves_by_a_pixel_and_repeats_the_border():
    image = picture(5, 8)
    expected = image[:, :, [0, 0, 1, 2, 3]]
    torch.testing.assert_close(shifted(image, 1 / 5, 0.0), expected, rtol=0, atol=1e-5)
    expected = image[:, :, :, [2, 3, 4, 5, 6, 7, 7, 7]]
    torch.testing.assert_close(shifted(image, 0.0, -2 / 8), expected, rtol=0, atol=1e-5)


def test_an_image_is_moved_before_it_is_turned():
    together = turn_and_shift(spot(33, 33, 0.0, 6.0), torch.tensor([90.0]), torch.tensor([[4 / 33, 0.0]]))
    mean, _ = moments(together)
    np.testing.assert_allclose(mean, [-6, 4], atol=0.05)


def test_masks_stay_masks():
    mask = (spot(16, 16, 2.0, 1.0) > 0.5).float()
    found = turned(mask, 33, nearest=True)
    assert set(found.unique().tolist()) == {0.0, 1.0}
    assert abs(float(found.sum() - mask.sum())) <= 3
    assert not set(turned(mask, 33).unique().tolist()) <= {0.0, 1.0}
