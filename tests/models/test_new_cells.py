"""Cells the model was not made with go through the same verbs."""

import anndata
import numpy as np
import pytest
from anndata import AnnData
from mudata import MuData
from scipy import sparse
from tests.contracts.simulated import MOSAIC, simulate

from cellprism import CrossModalVAE


@pytest.fixture(scope="module")
def model(train) -> CrossModalVAE:
    return train(simulate(present=MOSAIC), batch_key="batch", labels_key="label")


def test_the_same_cells_in_another_object_give_the_same(model):
    other = simulate(present=MOSAIC, shuffle=True)
    found, expected = model.get_latent_representation(other), model.get_latent_representation()
    position = [model.mdata.obs_names.get_loc(name) for name in other.obs_names]
    np.testing.assert_allclose(found, expected[position], atol=1e-5)


def test_one_modality_alone_is_enough(model):
    whole = simulate(present=MOSAIC)
    alone = MuData({"protein": whole["protein"].copy()})
    alone.obs["batch"] = whole.obs["batch"].reindex(alone.obs_names)
    assert np.isfinite(model.get_latent_representation(alone)).all()
    assert np.isnan(model.get_latent_representation(alone, block="rna")).all()
    assert model.translate("protein", "rna", alone).shape == (20, 12)
    assert model.impute("rna", alone).shape == (20, 12)
    assert model.reconstruct("protein", alone).shape == (20, 13)
    with pytest.raises(ValueError, match="None of the 20 cells was measured in 'rna'"):
        model.reconstruct("rna", alone)


def test_donors_of_new_cells_are_training_cells(model):
    new = simulate(present=MOSAIC)
    expected = model.translate("rna", "protein", fill="donor")
    assert model.translate("rna", "protein", new, fill="donor").shape == expected.shape


def test_features_may_come_in_another_order_and_with_others_between(model):
    expected = model.get_latent_representation()
    new = simulate(present=MOSAIC)
    for name, adata in list(new.mod.items()):
        extra = AnnData(np.ones((adata.n_obs, 1), dtype=np.float32), obs=adata.obs[[]])
        extra.var_names = [f"unknown {name}"]
        both = anndata.concat([adata, extra], axis=1)
        new.mod[name] = both[:, both.var_names[::-1]].copy()
    rebuilt = MuData(dict(new.mod))
    rebuilt.obs["batch"] = new.obs["batch"].reindex(rebuilt.obs_names)
    np.testing.assert_allclose(model.get_latent_representation(rebuilt), expected, atol=1e-5)
    reconstructed = model.reconstruct("rna", rebuilt)
    assert reconstructed.var_names.tolist() == model.mdata["rna"].var_names.tolist()
    model.write(rebuilt, translated=False)
    written = rebuilt["rna"].layers["reconstructed"]
    column = rebuilt["rna"].var_names.get_loc("rna_3")
    np.testing.assert_allclose(written[:, column], reconstructed[rebuilt["rna"].obs_names, "rna_3"].X[:, 0], rtol=1e-5)
    assert np.isnan(written[:, rebuilt["rna"].var_names.get_loc("unknown rna")]).all()


def test_missing_features_are_named(model):
    new = simulate(present=MOSAIC)
    rna = new["rna"][:, [0, 1, *range(4, 12)]].copy()
    rna.var_names = ["rna-0", *rna.var_names[1:]]
    lacking = MuData({"rna": rna})
    lacking.obs["batch"] = "one"
    message = r"mdata\['rna'\]\.var_names lack 3 of the 12 features .*'rna_0', 'rna_2', 'rna_3'.* Did you mean"
    with pytest.raises(ValueError, match=message):
        model.get_latent_representation(lacking)


def test_unseen_batches_are_named(model):
    new = simulate(present=MOSAIC)
    new.obs["batch"] = ["two", "three", "four", *["one"] * 37]
    message = r"mdata\.obs\['batch'\] has batches that the model has not seen: 'four', 'three'\. It knows 'one', 'two'"
    with pytest.raises(ValueError, match=message):
        model.get_latent_representation(new)


def test_a_missing_batch_column_offers_the_closest(model):
    new = simulate(present=MOSAIC)
    new.obs["Batch"] = new.obs.pop("batch")
    with pytest.raises(KeyError, match=r"batch_key='batch' is neither in mdata.obs .* Did you mean 'Batch'"):
        model.get_latent_representation(new)


def test_unseen_and_missing_labels_do_not_matter(model):
    expected = model.get_latent_representation()
    unseen, without = simulate(present=MOSAIC), simulate(present=MOSAIC)
    unseen.obs["label"] = "never seen"
    del without.obs["label"]
    for new in (unseen, without):
        np.testing.assert_allclose(model.get_latent_representation(new), expected, atol=1e-5)


def test_none_of_the_modalities_is_an_error(model):
    other = simulate(kinds={"atac": "counts"})
    message = "mdata holds the modalities 'atac'; expected at least one of 'rna', 'protein'"
    with pytest.raises(ValueError, match=message):
        model.get_latent_representation(other)


def test_bad_values_in_new_cells_are_refused_with_their_slot(model):
    new = simulate(present=MOSAIC)
    new["rna"].X.data[:] = -1
    with pytest.raises(ValueError, match=r"mdata\['rna'\]\.X has negative values \(min -1\)"):
        model.get_latent_representation(new)


def test_a_single_new_cell_is_no_special_case(model):
    new = simulate(present=MOSAIC)
    one = new[[7]].copy()
    expected = model.get_latent_representation(new)[7:8]
    np.testing.assert_allclose(model.get_latent_representation(one), expected, atol=1e-5)


def test_new_cells_may_all_lack_a_modality(model):
    new = simulate(present=MOSAIC)
    with_rna = new.obs_names.isin(new["rna"].obs_names)
    with_protein = new.obs_names.isin(new["protein"].obs_names)
    chosen = np.flatnonzero(with_rna & ~with_protein)
    expected = model.get_latent_representation(new)[chosen]
    for cells in (new[chosen], new[chosen].copy()):
        np.testing.assert_allclose(model.get_latent_representation(cells), expected, atol=1e-5)
        assert model.impute("protein", cells).shape == (20, 13)


def test_a_cell_without_counts_has_finite_latents_and_predictions(model):
    new = simulate(present=MOSAIC)
    counts = new["rna"].X.toarray()
    counts[3] = 0
    new["rna"].X = sparse.csr_matrix(counts)
    assert np.isfinite(model.get_latent_representation(new)).all()
    assert np.isfinite(model.reconstruct("rna", new).X).all()
    assert np.isfinite(model.translate("rna", "protein", new).X).all()


def test_nothing_is_written_into_new_cells(model):
    new = simulate(present=MOSAIC)
    before = str(new), str(new["rna"]), str(new["protein"]), list(new.obs)
    model.get_latent_representation(new)
    model.translate("rna", "protein", new)
    assert (str(new), str(new["rna"]), str(new["protein"]), list(new.obs)) == before


# ---- AnnData alone


def test_anndata_is_accepted_where_there_is_one_modality(train):
    adata = simulate(kinds={"rna": "sparse"})["rna"].copy()
    model = train(adata)
    assert model.get_latent_representation().shape == (40, 3)
    assert list(model.registration.modalities) == ["rna"]
    assert model.get_latent_representation(adata[:5].copy()).shape == (5, 3)
    assert model.reconstruct("rna", adata).shape == (40, 12)


def test_anndata_is_accepted_without_setup(train):
    adata = simulate(kinds={"rna": "sparse"})["rna"].copy()
    assert train(adata, setup=False).get_latent_representation().shape == (40, 3)


def test_anndata_keeps_the_registered_name(train):
    from cellprism.modalities import Counts

    adata = simulate(kinds={"tags": "sparse"})["tags"].copy()
    model = train(adata, modalities={"tags": Counts()})
    assert model.reconstruct("tags").shape == (40, 12)


def test_anndata_for_two_modalities_is_refused(model):
    adata = simulate()["protein"].copy()
    message = r"Found AnnData, which is one modality; there are 2 \('rna', 'protein'\).*MuData\(\{'rna': adata\}\)"
    with pytest.raises(ValueError, match=message):
        model.get_latent_representation(adata)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize("data", [np.ones((3, 3)), "data.h5mu"])
def test_what_is_no_data_is_refused(data):
    with pytest.raises(TypeError, match=rf"Found {type(data).__name__}; expected MuData, or AnnData for one modality"):
        CrossModalVAE(data)
