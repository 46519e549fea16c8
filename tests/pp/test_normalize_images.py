import numpy as np
import pytest
from anndata import AnnData

from cellprism.pp import intensity_limits, normalize_images


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(100, 4000, size=(6, 2, 8, 9)).astype(np.uint16)


@pytest.fixture
def adata(images):
    adata = AnnData(shape=(6, 0))
    adata.obsm["image"] = images
    adata.obsm["mask"] = np.zeros((6, 1, 8, 9), dtype=bool)
    adata.obsm["mask"][:, :, 2:6, 2:7] = True
    return adata


def test_a_channel_is_scaled_between_its_percentiles_over_all_cells(images):
    scaled = normalize_images(images, percentiles=(5, 95))
    for channel in range(2):
        low, high = np.percentile(images[:, channel], [5, 95])
        expected = np.clip((images[:, channel] - low) / (high - low), 0, 1)
        np.testing.assert_allclose(scaled[:, channel], expected, atol=1e-6)


def test_bright_cells_stay_brighter_when_channels_are_scaled_and_not_when_cells_are(images):
    images = images.astype(float) * np.arange(1, 7)[:, None, None, None]
    by_channel = normalize_images(images, scale="channel").mean(axis=(1, 2, 3))
    by_cell = normalize_images(images, scale="cell").mean(axis=(1, 2, 3))
    assert (np.diff(by_channel) > 0).all()
    assert np.ptp(by_cell) < 0.1


def test_scaling_each_cell_is_scaling_it_as_if_it_were_alone(images):
    scaled = normalize_images(images, scale="cell", percentiles=(1, 99))
    alone = [normalize_images(images[row : row + 1], scale="channel", percentiles=(1, 99)) for row in range(6)]
    np.testing.assert_allclose(scaled, np.concatenate(alone), atol=1e-6)


def test_scaling_each_cell_does_not_see_gain_and_offset(images):
    scaled = normalize_images(images, scale="cell")
    np.testing.assert_allclose(normalize_images(3.0 * images + 50, scale="cell"), scaled, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_range_of_the_type_becomes_zero_to_one(dtype):
    ends = np.array([[[[0, np.iinfo(dtype).max]]]], dtype=dtype)
    np.testing.assert_array_equal(normalize_images(ends, scale="dtype"), [[[[0, 1]]]])


def test_eight_bits_in_are_eight_bits_out():
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    back = normalize_images(ramp, scale="dtype", dtype="uint8")
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, ramp)


def test_limits_of_some_cells_scale_others(images):
    limits = intensity_limits(images[:4])
    expected = np.clip((images[4:] - limits[:, :1, None]) / np.diff(limits)[..., None], 0, 1)
    np.testing.assert_allclose(normalize_images(images[4:], scale=limits), expected, atol=1e-6)
    np.testing.assert_array_equal(normalize_images(images[:4], scale=limits), normalize_images(images[:4]))


@pytest.mark.parametrize("background", ["border", "mask"])
@pytest.mark.parametrize("scale", ["channel", "cell"])
def test_an_offset_of_each_cell_is_taken_off_with_the_background(adata, background, scale):
    still = normalize_images(adata.obsm["image"], masks=adata.obsm["mask"], background=background, scale=scale)
    offset = 1000 * np.arange(12).reshape(6, 2, 1, 1) + adata.obsm["image"].astype(float)
    moved = normalize_images(offset, masks=adata.obsm["mask"], background=background, scale=scale)
    np.testing.assert_allclose(moved, still, atol=1e-6)


def test_what_is_at_the_background_becomes_zero(adata):
    images = np.full((6, 2, 8, 9), 700, dtype=np.uint16)
    images[:, :, 3:5, 3:5] = 900
    scaled = normalize_images(images, background="border", percentiles=(0, 100))
    np.testing.assert_array_equal(scaled, images == 900)


def test_a_channel_without_range_becomes_zero():
    assert (normalize_images(np.full((2, 1, 3, 3), 7.0)) == 0).all()


def test_images_of_an_anndata_are_written_beside_the_old_ones(adata):
    before = adata.obsm["image"].copy()
    assert normalize_images(adata, scale="cell") is None
    np.testing.assert_array_equal(adata.obsm["image"], before)
    np.testing.assert_array_equal(adata.obsm["image_normalized"], normalize_images(before, scale="cell"))
    assert adata.obsm["image_normalized"].dtype == np.float32


def test_old_images_are_replaced_when_asked_for(adata):
    expected = normalize_images(adata.obsm["image"], dtype="uint8")
    normalize_images(adata, dtype="uint8", key_added="image")
    np.testing.assert_array_equal(adata.obsm["image"], expected)


def test_floats_beyond_one_have_no_range_of_their_type(images):
    with pytest.raises(ValueError, match=r"scale='dtype' found float64 images from 101 to 3\.99e\+03"):
        normalize_images(images.astype(float), scale="dtype")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": "plate"}, "'plate', expected 'channel', 'cell', 'dtype' or an array"),
        ({"scale": np.zeros((3, 2))}, r"shape \(3, 2\), expected \(2, 2\)"),
        ({"percentiles": (99, 1)}, "two numbers that rise"),
        ({"dtype": "int8"}, "'int8', expected 'float32' or 'uint8'"),
        ({"background": "corner"}, "'corner', expected 'border', 'mask' or None"),
        ({"background": "mask"}, r"found no \.obsm\['mask'\]"),
        ({"masks": np.ones((6, 1, 8, 8))}, r"masks has shape \(6, 1, 8, 8\), expected \(6, 8, 9\)"),
    ],
)
def test_what_does_not_fit_is_told(images, options, message):
    with pytest.raises(ValueError, match=message):
        normalize_images(images, **options)


@pytest.mark.parametrize("scale", ["channel", "cell"])
def test_pixels_that_are_no_numbers_are_told(images, scale):
    images = images.astype(float)
    images[2, 1, 3, 3] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite pixels"):
        normalize_images(images, scale=scale)


@pytest.mark.parametrize("scale", ["channel", "cell"])
def test_half_precision_gives_what_single_precision_gives(images, scale):
    half = (images / 4000).astype(np.float16)
    single = normalize_images(half.astype(np.float32), scale=scale)
    np.testing.assert_allclose(normalize_images(half, scale=scale), single, atol=1e-6)


def test_a_slot_that_is_not_there_is_told(adata):
    with pytest.raises(KeyError, match=r"\.obsm has no 'images'; it has \['image', 'mask'\]"):
        normalize_images(adata, key="images")


def test_images_that_are_no_images_are_told(adata):
    adata.obsm["flat"] = np.zeros((6, 72))
    with pytest.raises(ValueError, match=r"\.obsm\['flat'\] has shape \(6, 72\), expected \(cells, channels"):
        normalize_images(adata, key="flat")
