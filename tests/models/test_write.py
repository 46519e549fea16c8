import json

import anndata
import mudata
import numpy as np
import pandas as pd
import pytest
from mudata import MuData
from tests.contracts.simulated import MOSAIC, UNPAIRED, simulate


@pytest.fixture
def written(train) -> tuple:
    mdata = simulate(present=MOSAIC, shuffle=True)
    model = train(mdata, batch_key="batch")
    model.write()
    return model, mdata


def test_latents_are_in_their_slots(written):
    model, mdata = written
    np.testing.assert_array_equal(mdata.obsm["X_shared"], model.get_latent_representation())
    for name, adata in mdata.mod.items():
        rows = mdata.obs_names.get_indexer(adata.obs_names)
        shared = model.get_latent_representation(modality=name)[rows]
        private = model.get_latent_representation(block=name)[rows]
        np.testing.assert_allclose(adata.obsm["X_shared"], shared, atol=1e-6)
        np.testing.assert_allclose(adata.obsm["X_private"], private, atol=1e-6)


def test_reconstructions_and_translations_are_in_their_slots(written):
    model, mdata = written
    rna, protein = mdata["rna"], mdata["protein"]
    expected = model.reconstruct("protein")[protein.obs_names].X
    np.testing.assert_allclose(protein.layers["reconstructed"], expected, atol=1e-5)
    translated = model.translate("rna", "protein")
    both = protein.obs_names.isin(rna.obs_names)
    layer = protein.layers["translated_from_rna"]
    np.testing.assert_allclose(layer[both], translated[protein.obs_names[both]].X, atol=1e-5)
    assert np.isnan(layer[~both]).all()
    frame = rna.obsm["protein_translated"]
    lacking = ~rna.obs_names.isin(protein.obs_names)
    assert frame.columns.tolist() == protein.var_names.tolist()
    assert frame.index.equals(rna.obs_names)
    np.testing.assert_allclose(frame[lacking], translated[rna.obs_names[lacking]].X, atol=1e-5)
    assert frame[~lacking].isna().all(axis=None)


def test_the_record_says_how_it_was_made(written):
    _, mdata = written
    record = mdata.uns["cellprism"]
    assert record["model"] == "CrossModalVAE"
    assert record["seed"] == 0
    assert record["fill"] == "shared"
    assert set(json.loads(record["modalities"])) == {"rna", "protein"}
    assert json.loads(record["settings"])["registration"]["batch_key"] == "batch"
    assert "mdata.obsm/X_shared" in json.loads(record["written"])


def test_nothing_else_is_written(written):
    _, mdata = written
    assert set(mdata.obsm) == {"rna", "protein", "X_shared"}
    assert set(mdata.uns) == {"cellprism"}
    for name, adata in mdata.mod.items():
        other = "protein" if name == "rna" else "rna"
        assert set(adata.obsm) == {"X_shared", "X_private", f"{other}_translated"}
        assert {layer for layer in adata.layers if layer} == {"reconstructed", f"translated_from_{other}"}
        assert not adata.uns
        assert not list(adata.obs)


def test_writing_twice_is_fine(written):
    model, mdata = written
    before = mdata["protein"].layers["reconstructed"].copy()
    model.write()
    np.testing.assert_array_equal(mdata["protein"].layers["reconstructed"], before)


def test_everything_survives_a_file_and_may_then_be_written_again(written, tmp_path):
    model, mdata = written
    mdata.write_h5mu(tmp_path / "out.h5mu")
    again = mudata.read_h5mu(tmp_path / "out.h5mu")
    np.testing.assert_array_equal(again.obsm["X_shared"], mdata.obsm["X_shared"])
    pd.testing.assert_frame_equal(again["rna"].obsm["protein_translated"], mdata["rna"].obsm["protein_translated"])
    assert again.uns["cellprism"]["written"] == mdata.uns["cellprism"]["written"]
    model.write(again)
    np.testing.assert_allclose(again.obsm["X_shared"], mdata.obsm["X_shared"], atol=1e-6)


@pytest.mark.parametrize(
    ("occupy", "slot"),
    [
        (lambda m: m.obsm.update(X_shared=np.zeros((40, 2))), r"mdata\.obsm/X_shared"),
        (lambda m: m["rna"].obsm.update(X_private=np.zeros((30, 2))), r"mdata\['rna'\]\.obsm/X_private"),
        (lambda m: m["protein"].layers.update(reconstructed=np.zeros((20, 13))), r"mdata\['protein'\]\.layers/recon"),
        (lambda m: m["rna"].obsm.update(protein_translated=np.zeros((30, 2))), r"mdata\['rna'\]\.obsm/protein_trans"),
        (lambda m: m.uns.update(cellprism="my notes"), r"mdata\.uns/cellprism"),
    ],
)
def test_foreign_slots_are_refused_before_anything_is_changed(train, occupy, slot):
    mdata = simulate(present=MOSAIC)
    model = train(mdata)
    occupy(mdata)
    before = [(set(part.obsm), set(part.uns)) for part in (mdata, *mdata.mod.values())]
    layers = [set(adata.layers) for adata in mdata.mod.values()]
    with pytest.raises(ValueError, match=f"hold something that cellprism did not write: .*{slot}.*overwrite=True"):
        model.write()
    assert [(set(part.obsm), set(part.uns)) for part in (mdata, *mdata.mod.values())] == before
    assert [set(adata.layers) for adata in mdata.mod.values()] == layers
    model.write(overwrite=True)
    assert mdata.obsm["X_shared"].shape == (40, 3)
    assert mdata.uns["cellprism"]["model"] == "CrossModalVAE"


def test_parts_may_be_left_out(train):
    mdata = simulate(present=MOSAIC)
    train(mdata).write(reconstructed=False, translated=False)
    assert "X_shared" in mdata.obsm
    assert not [layer for adata in mdata.mod.values() for layer in adata.layers if layer]
    assert "protein_translated" not in mdata["rna"].obsm


def test_the_fill_is_applied_and_recorded(train):
    mdata = simulate(present=MOSAIC)
    model = train(mdata)
    model.write(fill="mean")
    assert mdata.uns["cellprism"]["fill"] == "mean"
    expected = model.impute("protein", fill="mean")
    found = mdata["rna"].obsm["protein_translated"].loc[expected.obs_names]
    np.testing.assert_allclose(found, expected.X, atol=1e-5)


def test_unpaired_cells_have_no_layer_of_translations(train):
    mdata = simulate(present=UNPAIRED)
    train(mdata).write()
    assert "translated_from_rna" not in mdata["protein"].layers
    assert mdata["rna"].obsm["protein_translated"].notna().all(axis=None)


def test_new_cells_may_be_written_to(train):
    model = train(simulate(present=MOSAIC))
    new = MuData({"rna": simulate()["rna"].copy()})
    model.write(new)
    np.testing.assert_allclose(new.obsm["X_shared"], model.get_latent_representation(new), atol=1e-6)
    assert new["rna"].obsm["protein_translated"].shape == (40, 13)
    assert "X_shared" not in model.mdata.obsm


def test_a_view_is_refused(train):
    mdata = simulate()
    model = train(mdata)
    with pytest.raises(ValueError, match=r"mdata is a view, so that results would be lost. Write into mdata.copy\(\)"):
        model.write(mdata[:20])
    assert not set(mdata.obsm) & {"X_shared"}


def test_modalities_that_are_views_of_others_are_written_to(train):
    whole = simulate(60)
    rna, protein = (whole[name][np.arange(60) < 40] for name in ("rna", "protein"))
    mdata = MuData({"rna": rna, "protein": protein})
    model = train(mdata)
    with pytest.warns(anndata.ImplicitModificationWarning, match="initializing view as actual"):
        model.write()
    assert mdata["rna"].obsm["X_shared"].shape == (40, 3)
    assert "reconstructed" in mdata["protein"].layers
    assert "X_shared" not in whole["rna"].obsm


def test_anndata_alone_is_written_to_and_twice(train):
    adata = simulate(kinds={"rna": "sparse"})["rna"].copy()
    model = train(adata)
    for data in (None, None, adata):
        model.write(data)
    np.testing.assert_allclose(adata.obsm["X_shared"], model.get_latent_representation(), atol=1e-6)
    assert adata.layers["reconstructed"].shape == (40, 12)
    assert adata.uns["cellprism"]["model"] == "CrossModalVAE"
    other = adata.copy()
    model.write(other)
    model.write(other)


def test_foreign_slots_of_anndata_are_refused(train):
    adata = simulate(kinds={"rna": "sparse"})["rna"].copy()
    model = train(adata)
    adata.obsm["X_shared"] = np.zeros((40, 2))
    with pytest.raises(ValueError, match=r"mdata\['rna'\]\.obsm/X_shared"):
        model.write()


def test_one_modality_in_mudata_has_a_shared_block_for_all_cells(train):
    mdata = simulate(kinds={"rna": "sparse"})
    model = train(mdata)
    model.write()
    np.testing.assert_array_equal(mdata.obsm["X_shared"], model.get_latent_representation())


def test_odd_names_of_modalities_are_written(train, tmp_path):
    mdata = simulate(kinds={"rna.1": "sparse", "it's": "features", "train": "counts"}, present=None)
    model = train(mdata)
    model.write()
    model.write()
    assert "translated_from_it's" in {layer for layer in mdata["rna.1"].layers if layer}
    mdata.write_h5mu(tmp_path / "odd.h5mu")
