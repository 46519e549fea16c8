import numpy as np
import pytest
from anndata import AnnData
from skimage.transform import resize

from cellprism import pp


def test_a_constant_image_stays_constant_and_keeps_its_type():
    for dtype in (np.uint8, np.uint16, np.float32):
        resized = pp.resize_images(np.full((2, 1, 20, 30), 200, dtype=dtype), (33, 16))
        assert resized.shape == (2, 1, 33, 16)
        assert resized.dtype == dtype
        assert (resized == 200).all()


def test_each_channel_is_resampled_as_scikit_image_does():
    images = np.random.default_rng(0).random((2, 3, 20, 20))
    found = pp.resize_images(images, 32)
    expected = resize(images[1, 2], (32, 32), order=1, mode="edge")
    np.testing.assert_allclose(found[1, 2], expected, atol=1e-6)


def test_a_slot_is_written_and_the_images_are_left_alone():
    adata = AnnData(obsm={"image": np.zeros((3, 1, 16, 16), np.uint8)})
    assert pp.resize_images(adata, 64, key_added="large") is None
    assert adata.obsm["large"].shape == (3, 1, 64, 64)
    assert adata.obsm["image"].shape == (3, 1, 16, 16)


def test_a_size_that_is_none_is_refused():
    with pytest.raises(ValueError, match="size is 0, expected a positive side"):
        pp.resize_images(np.zeros((1, 1, 4, 4)), 0)
