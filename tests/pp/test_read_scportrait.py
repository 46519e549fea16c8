import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from cellprism.pp import image_features, read_scportrait

MASKS, CHANNELS = ["seg_all_nucleus", "seg_all_cytosol"], ["DNA", "actin", "tubulin"]
N_CELLS = 4


@pytest.fixture
def pixels():
    random = np.random.default_rng(0)
    pixels = random.random((N_CELLS, 5, 16, 16)).astype(np.float16)
    pixels[:, :2] = 0
    pixels[:, 0, 6:10, 6:10] = 1
    pixels[:, 1, 5:13, 8:14] = 1
    return pixels


@pytest.fixture(params=["uns", "var"])
def path(request, pixels, tmp_path):
    """A file as scPortrait lays it out; where its channels are told differs between versions."""
    names, mapping = [*MASKS, *CHANNELS], ["mask"] * 2 + ["image_channel"] * 3
    obs = pd.DataFrame({"cell_id": np.arange(7, 7 + N_CELLS)}, index=[str(row) for row in range(N_CELLS)])
    adata = AnnData(obs=obs, var=pd.DataFrame(index=[str(number) for number in range(5)]))
    if request.param == "uns":
        adata.uns["single_cell_images"] = {"channel_names": np.array(names), "channel_mapping": np.array(mapping)}
    else:
        adata.var["channels"], adata.var["channel_mapping"] = names, mapping
    path = tmp_path / "single_cells.h5sc"
    adata.write_h5ad(path)
    with h5py.File(path, "a") as file:
        stored = file.create_dataset("obsm/single_cell_images", data=pixels, chunks=(1, 1, 16, 16), compression="lzf")
        stored.attrs["encoding-type"], stored.attrs["encoding-version"] = "array", "0.2.0"
    return path


def test_images_and_masks_are_told_apart(path, pixels):
    adata = read_scportrait(path)
    np.testing.assert_array_equal(adata.obsm["image"], pixels[:, 2:])
    np.testing.assert_array_equal(adata.obsm["mask"][:, 0], (pixels[:, 0] == 1) | (pixels[:, 1] == 1))
    assert adata.uns["channels"] == CHANNELS
    assert list(adata.obs["cell_id"]) == [7, 8, 9, 10]


def test_one_mask_may_be_chosen(path, pixels):
    mask = read_scportrait(path, masks="seg_all_cytosol").obsm["mask"]
    np.testing.assert_array_equal(mask[:, 0], pixels[:, 1] == 1)


def test_what_is_read_can_be_measured(path):
    adata = read_scportrait(path, masks="seg_all_nucleus")
    image_features(adata, groups=["shape"])
    assert (adata.obsm["image_features"]["area"] == 16).all()


def test_a_mask_that_is_not_there_is_told(path):
    with pytest.raises(KeyError, match=r"masks has \['DNA'\], expected some of \['seg_all_nucleus', 'seg_all_cyt"):
        read_scportrait(path, masks="DNA")


def test_a_file_of_another_kind_is_told(tmp_path):
    AnnData(np.ones((2, 2))).write_h5ad(tmp_path / "other.h5ad")
    with pytest.raises(KeyError, match=r"has no \.obsm\['single_cell_images'\]"):
        read_scportrait(tmp_path / "other.h5ad")
    with pytest.raises(FileNotFoundError, match="No file at"):
        read_scportrait(tmp_path / "nothing.h5sc")
