import copy
import gc
import logging
import weakref

import mudata
import numpy as np
import pytest
from mudata import MuData
from tests.contracts.simulated import MOSAIC, UNPAIRED, dense, simulate

from cellprism import CrossModalVAE
from cellprism.modalities import Counts, Features, Peaks
from cellprism.models import LatentModel
from cellprism.objectives import Anchor, Classifier, Critic, CrossReconstruction, Reconstruction

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


def contents(mdata: MuData) -> dict:
    """Everything that a user could find changed."""
    found = {}
    for path, part in (("mdata", mdata), *mdata.mod.items()):
        found[path] = {
            "obs": part.obs.copy(),
            "var": part.var.copy(),
            "uns": copy.deepcopy(dict(part.uns)),
            "obsm": {key: np.array(value) for key, value in part.obsm.items()},
            "varm": sorted(part.varm),
            "obsp": sorted(part.obsp),
        }
        if path != "mdata":
            found[path] |= {"layers": [k for k in part.layers if k], "X": dense(part.X).copy(), "type": type(part.X)}
    return found


def assert_unchanged(before: dict, after: dict) -> None:
    assert before.keys() == after.keys()
    for path, parts in before.items():
        for name, value in parts.items():
            if name in ("obs", "var"):
                assert value.equals(after[path][name]), (path, name)
            else:
                np.testing.assert_equal(after[path][name], value, err_msg=f"{path} {name}")


def test_nothing_is_written_into_the_users_object_unasked():
    mdata = simulate(present=MOSAIC, shuffle=True)
    mdata.uns["mine"] = {"a": 1}
    before = contents(mdata)
    CrossModalVAE.setup_mudata(mdata, batch_key="batch", labels_key="label", marker_key="marker")
    assert_unchanged(before, contents(mdata))
    model = CrossModalVAE(mdata, n_hidden=8)
    assert_unchanged(before, contents(mdata))
    model.train(max_epochs=1, **QUIET)
    model.get_latent_representation(n_samples=2)
    for fill in ("shared", "donor"):
        model.translate("rna", "protein", fill=fill)
    model.reconstruct("rna", transform_batch="one")
    model.impute("protein", n_samples=2)
    assert_unchanged(before, contents(mdata))


def test_nothing_is_written_into_anndata_unasked():
    adata = simulate(kinds={"rna": "sparse"})["rna"].copy()
    before = str(adata), dict(adata.uns), list(adata.obs)
    model = CrossModalVAE(adata, n_hidden=8)
    model.train(max_epochs=1, **QUIET)
    model.reconstruct("rna")
    assert (str(adata), dict(adata.uns), list(adata.obs)) == before


def test_a_set_up_mdata_can_be_collected():
    gc.collect()
    mdata = simulate()
    n_before = len(LatentModel._setups)
    CrossModalVAE.setup_mudata(mdata)
    assert len(LatentModel._setups) == n_before + 1
    reference = weakref.ref(mdata)
    del mdata
    gc.collect()
    assert reference() is None
    assert len(LatentModel._setups) == n_before


def test_an_mdata_can_be_collected_once_its_model_is_gone():
    mdata = simulate()
    CrossModalVAE.setup_mudata(mdata)
    model = CrossModalVAE(mdata, n_hidden=8)
    model.train(max_epochs=1, **QUIET)
    model.write()
    references = weakref.ref(mdata), weakref.ref(model), weakref.ref(model.module)
    del mdata
    gc.collect()
    assert references[0]() is model.mdata
    del model
    gc.collect()
    assert [reference() for reference in references] == [None, None, None]


def test_two_models_of_one_mdata_do_not_know_each_other():
    mdata = simulate()
    CrossModalVAE.setup_mudata(mdata, labels_key="label")
    first = CrossModalVAE(mdata, n_hidden=8, seed=0)
    CrossModalVAE.setup_mudata(mdata, ["rna"])
    second = CrossModalVAE(mdata, n_hidden=8, seed=0)
    assert first.label_categories == ["a", "b", "c"]
    assert second.label_categories == []
    assert list(first.registration.modalities) == ["rna", "protein"]
    assert list(second.registration.modalities) == ["rna"]


def test_one_line_works_and_says_what_it_inferred(caplog):
    with caplog.at_level(logging.INFO, "cellprism"):
        model = CrossModalVAE(simulate())
    assert model.registration.modalities == {"rna": Counts(), "protein": Features()}
    assert "MuData was not set up; modalities are inferred. Use CrossModalVAE.setup_mudata" in caplog.text
    assert "mdata['rna'] is read as Counts" in caplog.text
    assert "mdata['protein'] is read as Features" in caplog.text


def test_what_is_minimised_is_said_in_one_readable_block(caplog):
    mdata = simulate(present=MOSAIC)
    CrossModalVAE.setup_mudata(mdata, labels_key="label")
    with caplog.at_level(logging.INFO, "cellprism"):
        model = CrossModalVAE(mdata)
    [block] = [record.message for record in caplog.records if "objective" in record.message]
    assert "pairs      rna and protein: 10 cells" in block
    assert "labels     3 classes" in block
    for objective in model.objectives:
        assert f"objective  {type(objective).__name__}" in block


@pytest.mark.parametrize(
    ("present", "labels_key", "expected", "unexpected"),
    [
        (None, None, {CrossReconstruction, Anchor}, {Critic, Classifier}),
        (None, "label", {CrossReconstruction, Anchor, Classifier}, {Critic}),
        (UNPAIRED, None, {Critic}, {CrossReconstruction, Anchor, Classifier}),
        (UNPAIRED, "label", {Classifier}, {CrossReconstruction, Anchor}),
        (MOSAIC, None, {Critic, CrossReconstruction, Anchor}, {Classifier}),
    ],
    ids=["pairs", "pairs and labels", "no pairs", "no pairs, labels", "some pairs"],
)
def test_terms_follow_from_the_data(present, labels_key, expected, unexpected):
    mdata = simulate(present=present)
    CrossModalVAE.setup_mudata(mdata, labels_key=labels_key)
    found = {type(objective) for objective in CrossModalVAE(mdata, n_hidden=8).objectives}
    assert expected | {Reconstruction} <= found
    assert not unexpected & found


def test_terms_can_be_replaced():
    chosen = [Reconstruction(weight=2.0)]
    assert CrossModalVAE(simulate(), objectives=chosen).objectives == tuple(chosen)


def test_some_modalities_may_be_left_out():
    mdata = simulate(kinds={"rna": "sparse", "protein": "features", "atac": "counts"})
    CrossModalVAE.setup_mudata(mdata, {"atac": Peaks(likelihood="poisson"), "rna": Counts(likelihood="poisson")})
    model = CrossModalVAE(mdata, n_hidden=8)
    assert list(model.registration.modalities) == ["atac", "rna"]
    assert model.layout.names == ("shared", "atac", "rna")
    CrossModalVAE.setup_mudata(mdata, ["protein", "rna"])
    assert CrossModalVAE(mdata).registration.modalities == {"protein": Features(), "rna": Counts()}


def test_cells_seen_only_in_a_modality_that_is_not_used_have_no_latent():
    mdata = simulate(kinds={"rna": "sparse", "protein": "features", "atac": "counts"},
                     present={"rna": range(20), "protein": range(10, 30), "atac": range(25, 40)})  # fmt: skip
    CrossModalVAE.setup_mudata(mdata, ["rna", "protein"])
    model = CrossModalVAE(mdata, n_hidden=8)
    model.train(max_epochs=1, batch_size=5, validation_size=0, **QUIET)
    known = np.isfinite(model.get_latent_representation()).all(1)
    used = mdata.obs_names.isin([*mdata["rna"].obs_names, *mdata["protein"].obs_names])
    np.testing.assert_array_equal(known, used)
    assert model.impute("protein").n_obs == 10


def test_backed_files_train_and_predict(tmp_path):
    mdata = simulate(present=MOSAIC)
    mdata.write_h5mu(tmp_path / "data.h5mu")
    latents = []
    for data in (mdata, mudata.read_h5mu(tmp_path / "data.h5mu", backed="r")):
        CrossModalVAE.setup_mudata(data, {"rna": Counts(), "protein": Features()})
        model = CrossModalVAE(data, n_hidden=8, seed=0)
        model.train(max_epochs=1, **QUIET)
        latents.append(model.get_latent_representation())
    np.testing.assert_array_equal(*latents)


def test_views_train_and_predict_as_their_copies():
    mdata = simulate(60)
    view = mdata[np.arange(60) % 3 > 0]
    assert view.is_view
    latents = []
    for data in (view, view.copy()):
        CrossModalVAE.setup_mudata(data, {"rna": Counts(), "protein": Features()}, labels_key="label")
        model = CrossModalVAE(data, n_hidden=8, seed=0)
        model.train(max_epochs=1, **QUIET)
        latents.append(model.get_latent_representation())
    np.testing.assert_array_equal(*latents)
    assert view.is_view


def test_the_order_of_cells_within_a_modality_changes_nothing():
    latents = []
    for shuffle in (False, True):
        mdata = simulate(shuffle=shuffle, present=MOSAIC)
        mdata = mdata if not shuffle else mdata[simulate(present=MOSAIC).obs_names.tolist()].copy()
        CrossModalVAE.setup_mudata(mdata, {"rna": Counts(), "protein": Features()}, batch_key="batch")
        model = CrossModalVAE(mdata, n_hidden=8, seed=0)
        model.train(max_epochs=2, **QUIET)
        latents.append(model.get_latent_representation())
    np.testing.assert_allclose(*latents, atol=1e-5)


def test_the_seed_of_scvi_tools_is_the_default():
    from scvi import settings

    before = settings.seed
    try:
        settings.seed = 7
        assert CrossModalVAE(simulate(), n_hidden=8).seed_ == 7
        assert CrossModalVAE(simulate(), n_hidden=8, seed=3).seed_ == 3
    finally:
        settings.seed = before


def test_setup_anndata_points_to_setup_mudata():
    with pytest.raises(NotImplementedError, match=r"CrossModalVAE reads MuData: call CrossModalVAE\.setup_mudata"):
        CrossModalVAE.setup_anndata(simulate()["rna"])


def test_a_model_needs_data():
    with pytest.raises(ValueError, match=r"CrossModalVAE needs data: CrossModalVAE\(mdata\)"):
        CrossModalVAE()


def test_a_model_shows_itself():
    model = CrossModalVAE(simulate(), n_hidden=8)
    assert "objective" in repr(model) or "objective" in model._model_summary_string
