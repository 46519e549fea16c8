import subprocess
import sys

import numpy as np
import pytest
from anndata import read_h5ad
from skimage.measure import regionprops_table

from cellprism.pp import crop_cells

SIZE = 24
PROPERTIES = [
    "area",
    "perimeter",
    "eccentricity",
    "solidity",
    "axis_major_length",
    "axis_minor_length",
    "orientation",
]


# pytest.warns passes on what it does not match, without the module that the project's filter tells it by.
anndata_may_speak_of_strings = pytest.mark.filterwarnings("ignore:The 'future.infer_string' option")


class Recorded:
    """An array that notes the largest part of it that was ever read."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.largest = array, array.shape, array.dtype, (0, 0)

    def __getitem__(self, index):
        read = self.array[index]
        self.largest = tuple(max(sides) for sides in zip(self.largest, read.shape[-2:], strict=True))
        return read


def test_a_crop_is_the_window_of_the_field_around_the_cell(field):
    image, masks = field
    cells = crop_cells(image, masks, SIZE, mask_neighbors=False)
    rows, columns = np.nonzero(masks == 3)
    top, left = ((side.min() + side.max() + 1 - SIZE) // 2 for side in (rows, columns))
    np.testing.assert_array_equal(cells["cell_3"].obsm["image"][0], image[:, top : top + SIZE, left : left + SIZE])
    np.testing.assert_array_equal(cells["cell_3"].obsm["mask"][0, 0], masks[top : top + SIZE, left : left + SIZE] == 3)


def test_height_and_width_may_differ(field):
    cells = crop_cells(*field, (20, 30), border="pad")
    assert cells.obsm["image"].shape == (5, 2, 20, 30)
    assert cells.obsm["mask"].shape == (5, 1, 20, 30)


def test_region_properties_are_those_of_the_whole_field(field):
    image, masks = field
    cells = crop_cells(image, masks, SIZE, border="pad", block_size=32)
    whole = regionprops_table(
        masks, np.moveaxis(image, 0, -1), properties=["label", "centroid", "bbox", "intensity_mean", *PROPERTIES]
    )
    np.testing.assert_array_equal(cells.obs["label"], whole["label"])
    for name in PROPERTIES:
        np.testing.assert_allclose(cells.obs[name], whole[name], err_msg=name)
    for number, name in enumerate(["bbox_top", "bbox_left", "bbox_bottom", "bbox_right"]):
        np.testing.assert_array_equal(cells.obs[name], whole[f"bbox-{number}"])
    centroids = np.stack([whole["centroid-1"], whole["centroid-0"]], axis=1)
    np.testing.assert_allclose(cells.obsm["spatial"], centroids)
    np.testing.assert_allclose(cells.obs[["centroid_x", "centroid_y"]], centroids)
    means = np.stack([whole["intensity_mean-0"], whole["intensity_mean-1"]], axis=1)
    np.testing.assert_allclose(cells.X, means, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64, ">u2"])
def test_pixels_keep_their_type_in_the_byte_order_of_the_machine(field, dtype):
    image = (field[0] % 200).astype(dtype)
    crops = crop_cells(image, field[1], SIZE).obsm["image"]
    assert crops.dtype == np.dtype(dtype).newbyteorder("=")
    assert crops.max() == image.max()


def test_neighbors_are_hidden_and_background_stays(field):
    image, masks = field
    cells = crop_cells(image, masks, SIZE)["cell_12"]
    seen = crop_cells(masks, masks, SIZE, mask_neighbors=False)["cell_12"].obsm["image"][0, 0]
    pixels = cells.obsm["image"][0]
    assert set(np.unique(seen)) == {0, 12, 13}
    assert (pixels[:, seen == 13] == 0).all()
    assert (pixels[:, seen != 13] > 0).all()


def test_background_is_hidden_when_asked_for(field):
    cells = crop_cells(*field, SIZE, mask_background=True)
    pixels, mask = cells.obsm["image"], np.repeat(cells.obsm["mask"], 2, axis=1)
    assert (pixels[~mask] == 0).all()
    assert (pixels[mask] > 0).all()


def test_neighbors_may_be_seen_on_a_hidden_background(field):
    cells = crop_cells(*field, SIZE, mask_neighbors=False, mask_background=True)["cell_12"]
    seen = crop_cells(field[1], field[1], SIZE, mask_neighbors=False)["cell_12"].obsm["image"][0, 0]
    np.testing.assert_array_equal(cells.obsm["image"][0, 0] > 0, seen > 0)


def test_cells_at_the_border_are_left_out(field):
    assert list(crop_cells(*field, SIZE).obs_names) == ["cell_3", "cell_7", "cell_12", "cell_13"]


def test_a_cell_whose_crop_leaves_the_field_is_left_out(field):
    assert "cell_3" not in crop_cells(*field, 60, border="drop").obs_names


def test_padding_keeps_cells_at_the_border_with_zeros_beyond_it(field):
    image, masks = field
    cell = crop_cells(image, masks, SIZE, border="pad", mask_neighbors=False)["cell_40"]
    beyond = -((cell.obs["bbox_bottom"].iloc[0] - SIZE) // 2)
    pixels = cell.obsm["image"][0]
    assert beyond > 0
    assert (pixels[:, :beyond] == 0).all()
    assert (pixels[:, beyond:] > 0).all()
    assert cell.obs["touches_border"].all()


@anndata_may_speak_of_strings
def test_cells_larger_than_the_crop_are_told_and_flagged(field):
    with pytest.warns(UserWarning, match=r"2 of 4 cells are larger than the crop of 15 x 14.*would hold them all"):
        cells = crop_cells(*field, (15, 14))
    assert list(cells.obs_names[cells.obs["is_cut"]]) == ["cell_3", "cell_7"]


@anndata_may_speak_of_strings
def test_the_size_that_the_warning_gives_holds_all_cells(field):
    with pytest.warns(UserWarning, match=r"size=\(15, 19\)"):
        crop_cells(*field, (15, 14))
    assert crop_cells(*field, (15, 19)).obsm["mask"].sum(axis=(1, 2, 3)).tolist() == [
        (field[1] == label).sum() for label in (3, 7, 12, 13)
    ]


@anndata_may_speak_of_strings
def test_the_mean_of_a_cut_cell_is_that_of_the_whole_cell(field):
    with pytest.warns(UserWarning, match="larger than the crop"):
        cut = crop_cells(*field, 5)
    np.testing.assert_array_equal(cut.X, crop_cells(*field, SIZE).X)


def test_small_cells_are_left_out(field):
    areas = crop_cells(*field, SIZE).obs["area"]
    kept = crop_cells(*field, SIZE, min_area=int(areas.max()))
    assert list(kept.obs_names) == [areas.idxmax()]


@pytest.mark.parametrize("block_size", [11, 17, 64, 1000])
def test_what_is_in_memory_at_once_does_not_change_the_result(field, block_size):
    whole, in_blocks = (crop_cells(*field, SIZE, border="pad", block_size=side) for side in (2048, block_size))
    np.testing.assert_array_equal(in_blocks.obsm["image"], whole.obsm["image"])
    np.testing.assert_array_equal(in_blocks.obsm["mask"], whole.obsm["mask"])
    assert in_blocks.obs.equals(whole.obs)


def test_no_more_than_a_block_and_its_margin_is_read():
    masks = np.zeros((400, 500), dtype=np.int32)
    for number, (row, column) in enumerate(np.ndindex(8, 10), start=1):
        masks[50 * row + 20 : 50 * row + 30, 50 * column + 20 : 50 * column + 30] = number
    image, labels = Recorded(np.stack([masks, masks])), Recorded(masks)
    cells = crop_cells(image, labels, 20, block_size=100)
    np.testing.assert_array_equal(cells.obs["label"], np.arange(1, 81))
    assert max(image.largest) <= 100 + 20
    assert max(labels.largest) <= 100 + 20


def test_labels_may_be_huge(field):
    image, masks = field
    huge = np.where(masks > 0, masks + np.uint64(2**63), 0).astype(np.uint64)
    cells = crop_cells(image, huge, SIZE)
    assert list(cells.obs_names) == [f"cell_{2**63 + label}" for label in (3, 7, 12, 13)]
    np.testing.assert_array_equal(cells.obsm["image"], crop_cells(image, masks, SIZE).obsm["image"])


def test_a_plain_image_has_one_channel(field):
    image, masks = field
    cells = crop_cells(image[0], masks, SIZE, channel_names=["DNA"], prefix="field1_")
    np.testing.assert_array_equal(cells.obsm["image"], crop_cells(image[:1], masks, SIZE).obsm["image"])
    assert cells.uns["channels"] == ["DNA"]
    assert list(cells.var_names) == ["mean_DNA"]
    assert cells.obs_names[0] == "field1_3"


def test_what_is_made_survives_a_file(field, tmp_path):
    cells = crop_cells(*field, SIZE)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    read = read_h5ad(tmp_path / "cells.h5ad")
    for key in ("image", "mask", "spatial"):
        np.testing.assert_array_equal(read.obsm[key], cells.obsm[key])
        assert read.obsm[key].dtype == cells.obsm[key].dtype
    assert list(read.uns["channels"]) == ["channel_0", "channel_1"]


def test_the_user_s_arrays_are_left_as_they_are(field):
    image, masks = field
    before = image.copy(), masks.copy()
    crop_cells(image, masks, SIZE, mask_background=True)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(masks, before[1])


def test_progress_is_shown_when_asked_for(field, capsys):
    crop_cells(*field, SIZE, progress=True)
    assert "4/4" in capsys.readouterr().err


def test_channels_that_come_last_are_recognised(field):
    image, masks = field
    with pytest.raises(ValueError, match=r"channels seem to come last.*np\.moveaxis\(image, -1, 0\)"):
        crop_cells(np.moveaxis(image, 0, -1), masks, SIZE)


def test_masks_of_another_field_are_refused(field):
    with pytest.raises(ValueError, match=r"\(90, 120\).*\(80, 120\)"):
        crop_cells(field[0], field[1][:80], SIZE)


def test_a_stack_of_images_is_refused(field):
    with pytest.raises(ValueError, match=r"shape \(1, 2, 90, 120\), expected \(channels, height, width\)"):
        crop_cells(field[0][None], field[1], SIZE)


def test_a_boolean_mask_is_refused(field):
    with pytest.raises(ValueError, match=r"boolean.*skimage\.measure\.label"):
        crop_cells(field[0], field[1] > 0, SIZE)


def test_masks_of_floats_are_refused(field):
    with pytest.raises(ValueError, match=r"float64, expected integers"):
        crop_cells(field[0], field[1].astype(float), SIZE)


def test_negative_labels_are_refused(field):
    masks = field[1].astype(int)
    masks[0, 0] = -1
    with pytest.raises(ValueError, match=r"negative labels \(min -1\)"):
        crop_cells(field[0], masks, SIZE)


def test_a_mask_without_cells_is_refused(field):
    with pytest.raises(ValueError, match="every pixel is 0"):
        crop_cells(field[0], np.zeros_like(field[1]), SIZE)


def test_a_crop_larger_than_the_field_is_refused_unless_it_is_padded(field):
    with pytest.raises(ValueError, match=r"5 lie at the border of the field, which is 90 x 120.*border='pad'"):
        crop_cells(*field, 200)
    assert crop_cells(*field, 200, border="pad").obsm["image"].shape == (5, 2, 200, 200)


def test_a_minimal_area_above_all_cells_is_refused(field):
    with pytest.raises(ValueError, match=r"No cell is left of 5: 5 are smaller than min_area=9999"):
        crop_cells(*field, SIZE, min_area=9999)


@pytest.mark.parametrize("names", [["DNA"], ["DNA", "DNA"]])
def test_channel_names_that_do_not_fit_are_refused(field, names):
    with pytest.raises(ValueError, match="expected 2 different names"):
        crop_cells(*field, SIZE, channel_names=names)


@pytest.mark.parametrize("size", [0, (4, -1)])
def test_a_size_below_one_pixel_is_refused(field, size):
    with pytest.raises(ValueError, match="each at least 1"):
        crop_cells(*field, size)


def test_an_unknown_way_with_the_border_is_refused(field):
    with pytest.raises(ValueError, match="'mirror', expected 'drop' or 'pad'"):
        crop_cells(*field, SIZE, border="mirror")


def test_pp_imports_no_heavy_library_before_it_is_used():
    heavy = ["anndata", "dask", "mudata", "skimage", "scvi", "sklearn", "tifffile", "torch", "zarr"]
    command = f"import sys, cellprism.pp; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
