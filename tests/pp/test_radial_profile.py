import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import ndimage

from cellprism.pp import radial_profile
from cellprism.pp._radial_profile import ring_numbers

MIDDLES = np.arange(0.05, 1, 0.1)


def ball(radius, n_axes, spacing=1.0):
    """Distances from the centre, and a disk or ball."""
    spacing = np.broadcast_to(spacing, n_axes)
    sides = [np.arange(-int(radius / step) - 3, int(radius / step) + 4) * step for step in spacing]
    distance = np.sqrt(sum(axis**2 for axis in np.meshgrid(*sides, indexing="ij")))
    return distance, distance < radius


@pytest.mark.parametrize("n_axes", [2, 3])
def test_a_constant_cell_has_a_flat_profile(n_axes):
    _, mask = ball(12, n_axes)
    image = np.where(mask, 40, 7).astype(np.uint8)[None, None]
    np.testing.assert_allclose(radial_profile(image, masks=mask[None]), 1)


@pytest.mark.parametrize(("n_axes", "radius"), [(2, 60), (3, 30)])
def test_the_profile_of_a_gaussian_is_that_of_its_closed_form(n_axes, radius):
    distance, mask = ball(radius, n_axes)
    image = np.exp(-((distance / radius) ** 2))[None, None]
    profile = radial_profile(image, masks=mask[None], scale="none")[0, 0]
    expected = np.exp(-(MIDDLES ** (2 / n_axes)))  # a share s of the volume lies within s^(1 / n_axes) of the radius
    assert (np.diff(profile) < 0).all()
    np.testing.assert_allclose(profile, expected, rtol=0.03)


def test_what_is_bright_at_the_edge_has_a_rising_profile():
    distance, mask = ball(30, 2)
    assert (np.diff(radial_profile(distance[None, None], masks=mask[None])[0, 0]) > 0).all()


def test_rings_are_those_of_erosion_by_a_pixel_along_a_straight_edge():
    mask = np.zeros((40, 40), dtype=bool)
    mask[5:35, 5:35] = True
    eroded, rings = mask, np.zeros(mask.shape, dtype=int)
    while eroded.any():
        rings += eroded
        eroded = ndimage.binary_erosion(eroded, structure=np.ones((3, 3)))
    np.testing.assert_array_equal(ring_numbers(mask), rings)


def test_the_edge_of_the_image_counts_as_background():
    np.testing.assert_array_equal(
        ring_numbers(np.ones((3, 5), dtype=bool)), [[1, 1, 1, 1, 1], [1, 2, 2, 2, 1], [1] * 5]
    )


def test_a_stretched_grid_gives_the_profile_of_an_even_one():
    profiles = []
    for spacing in (1.0, (2.0, 1.0, 1.0)):
        distance, mask = ball(24, 3, spacing)
        image = (100 - distance)[None, None]
        steps = None if np.ndim(spacing) == 0 else spacing
        profiles.append(radial_profile(image, masks=mask[None], scale="none", spacing=steps)[0, 0])
    np.testing.assert_allclose(profiles[1], profiles[0], rtol=0.02)


def test_a_profile_does_not_depend_on_where_and_how_the_cell_lies():
    random = np.random.default_rng(0)
    image, mask = random.random((1, 1, 40, 40)), np.zeros((1, 40, 40), dtype=bool)
    mask[0, 8:30, 10:25] = True
    expected = radial_profile(image, masks=mask)
    for change in (lambda x: np.roll(x, 3, axis=-1), lambda x: np.rot90(x, axes=(-2, -1)), lambda x: x[..., ::-1]):
        np.testing.assert_allclose(radial_profile(change(image), masks=change(mask)), expected)


def test_profiles_are_divided_by_the_brightest_ring_or_the_brightest_pixel():
    random = np.random.default_rng(1)
    _, mask = ball(15, 2)
    image = random.random((1, 2, *mask.shape))
    means = radial_profile(image, masks=mask[None], scale="none")[0]
    by_pixel = radial_profile(image, masks=mask[None], scale="pixels")[0]
    np.testing.assert_allclose(by_pixel, means / image[0][:, mask].max(axis=1)[:, None])
    rings = ndimage.mean(image[0, 1], ring_numbers(mask), range(1, ring_numbers(mask).max() + 1))
    by_ring = radial_profile(image, masks=mask[None])[0, 1]
    np.testing.assert_allclose(by_ring, means[1] / rings.max())


def test_gain_does_not_change_a_scaled_profile():
    image, (_, mask) = np.random.default_rng(2).random((1, 1, 37, 37)), ball(15.5, 2)
    np.testing.assert_allclose(radial_profile(9 * image, masks=mask[None]), radial_profile(image, masks=mask[None]))


def test_without_a_mask_the_bright_piece_in_the_middle_is_the_cell():
    distance, mask = ball(10, 2)
    mask = np.pad(mask, 8)
    image = np.pad(np.where(distance < 10, 100 - 3 * distance, 0), 8)
    image[:9, :] = 95  # a larger neighbour
    image[21, 21] = 0  # a hole
    nothing = np.zeros_like(image)
    found = radial_profile(np.stack([nothing, image])[None], mask_channel=1)
    np.testing.assert_allclose(found[:, 1], radial_profile(image[None, None], masks=mask[None])[:, 0], rtol=1e-9)


def test_profiles_of_an_anndata_are_written_as_a_table():
    image, (_, mask) = np.random.default_rng(3).random((3, 2, 37, 37)), ball(15.5, 2)
    adata = AnnData(obs=pd.DataFrame(index=["a", "b", "c"]))
    adata.obsm["image"], adata.obsm["mask"] = image, np.repeat(mask[None, None], 3, axis=0)
    adata.uns["channels"] = ["DNA", "actin"]
    assert radial_profile(adata, n_bins=4) is None
    table = adata.obsm["radial_profile"]
    expected = radial_profile(image, masks=adata.obsm["mask"], n_bins=4)
    np.testing.assert_array_equal(table.filter(like="actin"), expected[:, 1])
    assert list(table.columns[:2]) == ["radial_DNA_0_25", "radial_DNA_25_50"]
    assert list(table.index) == ["a", "b", "c"]


def test_a_cell_without_foreground_is_told_and_has_no_profile():
    image, masks = np.ones((2, 1, 9, 9)), np.zeros((2, 9, 9), dtype=bool)
    masks[1, 2:7, 2:7] = True
    with pytest.warns(UserWarning, match="1 of 2 cells have no foreground, the first in row 0"):
        profiles = radial_profile(image, masks=masks)
    assert np.isnan(profiles[0]).all()
    np.testing.assert_allclose(profiles[1], 1)


def test_cells_without_any_foreground_are_refused():
    with pytest.raises(ValueError, match="None of 2 cells has a foreground"):
        radial_profile(np.ones((2, 1, 9, 9)))


def test_an_unknown_scale_or_channel_is_told():
    image = np.random.default_rng(4).random((1, 2, 9, 9))
    with pytest.raises(ValueError, match="'cell', expected 'rings', 'pixels' or 'none'"):
        radial_profile(image, scale="cell")
    with pytest.raises(KeyError, match=r"'DNA', expected one of the channels \['channel_0', 'channel_1'\]"):
        radial_profile(image, mask_channel="DNA")
    with pytest.raises(KeyError, match="mask_channel is 2, expected a number from 0 to 1"):
        radial_profile(image, mask_channel=2)
