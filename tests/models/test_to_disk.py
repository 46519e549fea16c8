"""Predictions in a file are those in memory."""

import numpy as np
import pytest
from tests.contracts.pictures import simulate_images

from cellprism import CrossModalVAE
from cellprism.modalities import Features, Images, StridedConvolutions

VERBS = {
    "reconstruct": lambda model, **how: model.reconstruct("rna", **how),
    "translate": lambda model, **how: model.translate("protein", "rna", **how),
    "impute": lambda model, **how: model.impute("rna", **how),
}


@pytest.mark.parametrize("n_samples", [0, 2])
@pytest.mark.parametrize("verb", VERBS)
def test_a_file_holds_what_memory_would(mosaic_model, tmp_path, verb, n_samples):
    settings = {"n_samples": n_samples, "batch_size": 7}
    expected = VERBS[verb](mosaic_model, **settings)
    found = VERBS[verb](mosaic_model, to_disk=tmp_path / "predicted.h5ad", **settings)
    assert found.isbacked
    np.testing.assert_array_equal(found.X[:], expected.X)
    assert found.obs_names.equals(expected.obs_names)
    assert found.obs.columns.equals(expected.obs.columns)
    assert found.var_names.equals(expected.var_names)
    assert found.uns["cellprism"]["verb"] == verb
    assert set(found.layers) == set(expected.layers)
    for name in expected.layers:
        np.testing.assert_array_equal(found.layers[name][:], expected.layers[name])
    assert [path.name for path in tmp_path.iterdir()] == ["predicted.h5ad"]


def test_images_go_to_a_file_as_well(tmp_path):
    mdata = simulate_images(20, n_channels=1, size=(16, 16))
    networks = StridedConvolutions(widths=(4, 8))
    CrossModalVAE.setup_mudata(mdata, {"rna": Features(), "image": Images(networks=networks)})
    model = CrossModalVAE(mdata, n_shared=2, n_private=2, n_hidden=4)
    model.train(max_epochs=1, enable_progress_bar=False, accelerator="cpu")
    found = model.translate("rna", "image", to_disk=tmp_path / "images.h5ad", batch_size=6)
    np.testing.assert_array_equal(found.obsm["image"], model.translate("rna", "image", batch_size=6).obsm["image"])


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("predicted.csv", ValueError, "expected a name that ends in .h5ad"),
        ("there.h5ad", FileExistsError, "exists. Remove it, or choose another name"),
        ("nowhere/predicted.h5ad", FileNotFoundError, "is not a folder"),
    ],
)
def test_a_bad_name_is_refused_before_anything_is_computed(mosaic_model, tmp_path, name, error, message):
    (tmp_path / "there.h5ad").write_text("kept")
    with pytest.raises(error, match=message):
        mosaic_model.translate("rna", "protein", to_disk=tmp_path / name)
    assert (tmp_path / "there.h5ad").read_text() == "kept"


def test_nothing_is_left_of_a_file_that_could_not_be_finished(mosaic_model, tmp_path, monkeypatch):
    def fail(*given):
        raise MemoryError

    monkeypatch.setattr(mosaic_model.module, "decode", fail)
    with pytest.raises(MemoryError):
        mosaic_model.translate("rna", "protein", to_disk=tmp_path / "predicted.h5ad")
    assert not list(tmp_path.iterdir())
