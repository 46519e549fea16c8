import warnings
from importlib.resources import files

import numpy as np
import pytest
from scipy import sparse

from cellprism import datasets

SHAPES = {
    "a549": (1874, {"rna": (1874, 2613), "atac": (1874, 815)}),
    "pbmc_citeseq_mosaic": (1600, {"rna": (1200, 500), "protein": (1200, 224)}),
    "scgem": (177, {"rna": (177, 34), "methylation": (177, 27)}),
    "jurkat_ifc_images": (2412, {"nucleus": (2412, 5), "labelfree": (2412, 10)}),
    "ht29_ph3_images": (271, {"nucleus": (271, 5), "protein_image": (271, 10)}),
}
LABELS = {
    "a549": ["treatment_time", "treatment", "author_split"],
    "pbmc_citeseq_mosaic": ["cell_type", "batch"],
    "scgem": ["cell_type", "stage"],
    "jurkat_ifc_images": ["phase", "phase3", "experiment"],
    "ht29_ph3_images": ["mitotic"],
}


@pytest.fixture(params=SHAPES)
def name(request):
    return request.param


def test_dataset_is_read_without_a_warning_and_with_the_shapes_it_promises(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mdata = getattr(datasets, name)()
    n_cells, shapes = SHAPES[name]
    assert mdata.n_obs == n_cells
    assert {modality: adata.shape for modality, adata in mdata.mod.items()} == shapes


def test_labels_are_found_at_both_levels_and_agree_cell_by_cell(name):
    mdata = getattr(datasets, name)()
    assert sorted(mdata.obs) == sorted(LABELS[name])
    for adata in mdata.mod.values():
        for label in LABELS[name]:
            joint = mdata.obs.loc[adata.obs_names, label].astype(str)
            assert (joint == adata.obs[label].astype(str)).all()


def test_names_of_cells_and_features_are_unique(name):
    mdata = getattr(datasets, name)()
    assert mdata.obs_names.is_unique
    assert mdata.var_names.is_unique


@pytest.mark.parametrize("name", ["jurkat_ifc_images", "ht29_ph3_images"])
def test_images_have_a_name_for_each_channel(name):
    for adata in getattr(datasets, name)().mod.values():
        images = adata.obsm["image"]
        assert images.dtype == np.uint8
        assert images.shape[1] == len(adata.uns["channels"])
        assert (images.reshape(len(images), -1).max(1) > 0).all()


def test_counts_are_raw():
    for mdata in (datasets.a549(), datasets.pbmc_citeseq_mosaic()):
        for adata in mdata.mod.values():
            assert sparse.issparse(adata.X)
            assert (adata.X.data >= 0).all()
            np.testing.assert_array_equal(adata.X.data, np.round(adata.X.data))


def test_reading_leaves_the_options_of_mudata_as_they_were():
    import logging

    before = (list(warnings.filters), list(logging.getLogger().handlers))
    datasets.scgem()
    assert (list(warnings.filters), list(logging.getLogger().handlers)) == before


def test_half_of_the_mosaic_cells_have_both_modalities():
    mdata = datasets.pbmc_citeseq_mosaic()
    assert len(mdata["rna"].obs_names.intersection(mdata["protein"].obs_names)) == 800


def test_every_call_gives_a_fresh_object():
    datasets.scgem()["rna"].X[:] = 0
    assert datasets.scgem()["rna"].X.any()


def test_shipped_files_stay_small():
    folder = files("cellprism.datasets") / "files"
    assert sum(len(file.read_bytes()) for file in folder.iterdir()) < 12_000_000
