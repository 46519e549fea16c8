import numpy as np
import pytest
import torch
from mudata import MuData
from tests.contracts.simulated import MOSAIC, simulate

from cellprism import CrossModalVAE
from cellprism.modalities import Covariates

FILLS = ("shared", "mean", "sample", "donor")


def names_with(model: CrossModalVAE, *modalities: str) -> list[str]:
    obs_names = model.mdata.obs_names
    return [n for n in obs_names if all(n in model.mdata.mod[m].obs_names for m in modalities)]


def test_reconstruct_gives_the_cells_that_were_measured(mosaic_model):
    found = mosaic_model.reconstruct("protein")
    assert found.obs_names.tolist() == names_with(mosaic_model, "protein")
    assert found.var_names.equals(mosaic_model.mdata["protein"].var_names)
    assert found.uns["cellprism"]["verb"] == "reconstruct"
    assert "fill" not in found.uns["cellprism"]
    assert {"label", "batch", "marker"} <= set(found.obs)


def test_reconstructed_counts_keep_the_observed_totals(mosaic_model):
    found = mosaic_model.reconstruct("rna")
    totals = np.asarray(mosaic_model.mdata["rna"][found.obs_names].X.sum(1)).ravel()
    np.testing.assert_allclose(found.X.sum(1), totals, rtol=1e-4)


@pytest.mark.parametrize("verb", ["reconstruct", "translate", "impute"])
def test_a_library_size_is_the_total_of_expected_counts(mosaic_model, verb):
    ask = {
        "reconstruct": lambda: mosaic_model.reconstruct("rna", library_size=1234.0),
        "translate": lambda: mosaic_model.translate("protein", "rna", library_size=1234.0),
        "impute": lambda: mosaic_model.impute("rna", library_size=1234.0),
    }
    np.testing.assert_allclose(ask[verb]().X.sum(1), 1234, rtol=1e-4)


def test_expected_depth_is_that_of_the_training_cells_on_the_whole(mosaic_model):
    totals = mosaic_model.translate("protein", "rna").X.sum(1)
    observed = np.asarray(mosaic_model.mdata["rna"].X.sum(1)).ravel()
    assert observed.min() / 2 < np.median(totals) < observed.max() * 2


@pytest.mark.parametrize("fill", FILLS)
def test_translate_gives_source_cells_and_target_features(mosaic_model, fill):
    found = mosaic_model.translate("rna", "protein", fill=fill)
    assert found.obs_names.tolist() == names_with(mosaic_model, "rna")
    assert found.var_names.equals(mosaic_model.mdata["protein"].var_names)
    assert np.isfinite(found.X).all()
    expected = {"verb": "translate", "source": "rna", "target": "protein", "fill": fill}
    assert expected.items() <= found.uns["cellprism"].items()


def test_each_fill_puts_something_else_in_place_of_the_private_block(mosaic_model):
    found = [mosaic_model.translate("rna", "protein", fill=fill).X for fill in FILLS]
    for position, first in enumerate(found):
        for second in found[position + 1 :]:
            assert not np.allclose(first, second)


def test_a_translation_depends_on_the_source_alone(train):
    mdata = simulate(present=MOSAIC)
    model = train(mdata)
    alone = MuData({"rna": mdata["rna"].copy()})
    expected, found = model.translate("rna", "protein"), model.translate("rna", "protein", alone)
    np.testing.assert_allclose(found[expected.obs_names].X, expected.X, atol=1e-5)


def test_a_donor_lends_its_private_code(mosaic_model):
    target, module = "protein", mosaic_model.module
    found = mosaic_model.translate("rna", target, fill="donor")
    train = mosaic_model.mdata.obs_names[mosaic_model.train_indices]
    shared = mosaic_model.get_latent_representation(modality="rna")
    donors = mosaic_model.get_latent_representation(modality=target)
    private = mosaic_model.get_latent_representation(block=target)
    names = mosaic_model.mdata.obs_names
    can_lend = names.isin(train) & np.isfinite(donors[:, 0])
    cell = names_with(mosaic_model, "rna")[4]
    row = names.get_loc(cell)
    distance = np.where(can_lend, np.square(donors - shared[row]).sum(1), np.inf)
    distance[row] = np.inf
    latent = torch.from_numpy(np.concatenate([shared[row], private[distance.argmin()]])[None])
    code = torch.tensor([mosaic_model.batch_categories.index(mosaic_model.mdata.obs["batch"].iloc[row])])
    with torch.no_grad():
        decoded = module.decode(target, "full", latent, Covariates(module.one_hot(code), torch.ones(1))).mean
    np.testing.assert_allclose(found[cell].X, decoded.numpy(), atol=1e-4)


def test_impute_gives_the_cells_that_lack_the_target(mosaic_model):
    found = mosaic_model.impute("protein")
    assert found.obs_names.tolist() == [
        n for n in mosaic_model.mdata.obs_names if n not in mosaic_model.mdata["protein"].obs_names
    ]
    from_rna = mosaic_model.translate("rna", "protein")
    np.testing.assert_allclose(found.X, from_rna[found.obs_names].X, atol=1e-5)


def test_impute_uses_all_that_was_measured(train):
    kinds = {"rna": "sparse", "protein": "features", "atac": "counts"}
    present = {"rna": range(30), "protein": range(10, 40), "atac": range(20)}
    model = train(simulate(kinds=kinds, present=present))
    imputed = model.impute("atac")
    assert len(imputed) == 20
    both = [n for n in imputed.obs_names if n in model.mdata["rna"].obs_names and n in model.mdata["protein"].obs_names]
    one = model.translate("rna", "atac")
    assert len(both) == 10
    assert not np.allclose(imputed[both].X, one[both].X)


def test_impute_where_nothing_is_missing_says_so(train):
    with pytest.raises(ValueError, match="None of the 40 cells lacks 'protein' and has another modality to tell it"):
        train(simulate()).impute("protein")


def test_samples_give_mean_and_standard_deviation(mosaic_model):
    found = mosaic_model.translate("rna", "protein", n_samples=20)
    assert found.layers["std"].shape == found.shape
    assert (found.layers["std"] > 0).all()
    one = mosaic_model.reconstruct("rna", n_samples=1)
    assert (one.layers["std"] == 0).all()
    np.testing.assert_array_equal(found.X, mosaic_model.translate("rna", "protein", n_samples=20).X)


def test_predictions_do_not_depend_on_the_batch_size(mosaic_model):
    for fill in ("shared", "mean", "donor"):
        whole = mosaic_model.translate("rna", "protein", fill=fill).X
        found = mosaic_model.translate("rna", "protein", fill=fill, batch_size=7).X
        np.testing.assert_allclose(found, whole, atol=1e-5)


def test_indices_choose_cells_in_their_order(mosaic_model):
    rows = [mosaic_model.mdata.obs_names.get_loc(n) for n in names_with(mosaic_model, "rna")[5:0:-2]]
    found = mosaic_model.translate("rna", "protein", indices=rows)
    assert found.obs_names.tolist() == mosaic_model.mdata.obs_names[rows].tolist()
    np.testing.assert_allclose(found.X, mosaic_model.translate("rna", "protein")[found.obs_names].X, atol=1e-5)


# ---- experimental batches


def test_transform_batch_decodes_every_cell_for_that_batch(mosaic_model):
    own = mosaic_model.reconstruct("rna")
    found = {batch: mosaic_model.reconstruct("rna", transform_batch=batch).X for batch in ("one", "two")}
    is_one = (own.obs["batch"] == "one").to_numpy()
    np.testing.assert_allclose(found["one"][is_one], own.X[is_one], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["two"][~is_one], own.X[~is_one], rtol=1e-5, atol=1e-6)
    assert not np.allclose(found["one"][~is_one], own.X[~is_one])


def test_several_batches_are_averaged(mosaic_model):
    apart = [mosaic_model.translate("rna", "protein", transform_batch=batch).X for batch in ("one", "two")]
    together = mosaic_model.translate("rna", "protein", transform_batch=["one", "two"]).X
    np.testing.assert_allclose(together, np.mean(apart, axis=0), atol=1e-5)


def test_a_batch_in_which_the_target_was_never_measured_takes_those_in_which_it_was(one_sided_model):
    found = one_sided_model.impute("protein")
    assert set(found.obs["batch"]) == {"two", "three"}
    expected = one_sided_model.impute("protein", transform_batch="one").X
    np.testing.assert_allclose(found.X, expected, atol=1e-5)
    assert not np.allclose(found.X, one_sided_model.impute("protein", transform_batch="two").X)


def test_no_batch_is_a_silent_default(train):
    mdata = simulate(45, present={"rna": range(45), "protein": [i for i in range(45) if i % 3]})
    place = {name: i for i, name in enumerate(simulate(45).obs_names)}
    mdata.obs["batch"] = [("one", "two", "three")[place[name] % 3] for name in mdata.obs_names]
    model = train(mdata, batch_key="batch")
    measured_in = [model.impute("protein", transform_batch=batch).X for batch in ("two", "three")]
    np.testing.assert_allclose(model.impute("protein").X, np.mean(measured_in, axis=0), atol=1e-5)


def test_an_unknown_batch_offers_the_closest(mosaic_model):
    with pytest.raises(ValueError, match=r"transform_batch names 'on', which is not a batch. Did you mean 'one'"):
        mosaic_model.translate("rna", "protein", transform_batch="on")


def test_a_model_without_batches_says_that_there_is_none(train):
    with pytest.raises(ValueError, match=r"transform_batch names 'one', which is not a batch. There is: nothing"):
        train(simulate()).reconstruct("rna", transform_batch="one")


# ---- what makes no sense


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda m: m.translate("rna", "rna"), ValueError, r"translate from 'rna' to itself; use reconstruct\('rna'\)"),
        (lambda m: m.translate("rna", "protien"), KeyError, "no modality 'protien'. Did you mean 'protein'"),
        (lambda m: m.translate("dna", "protein"), KeyError, "no modality 'dna'. Did you mean 'rna'"),
        (lambda m: m.translate("rna", "protein", fill="zero"), ValueError, "fill is 'zero'; expected one of 'shared'"),
        (lambda m: m.reconstruct("rna", library_size=0), ValueError, "library_size is 0; expected a positive number"),
        (lambda m: m.reconstruct("rna", library_size=-3.0), ValueError, "library_size is -3.0"),
        (lambda m: m.reconstruct("atac"), KeyError, "no modality 'atac'"),
        (lambda m: m.reconstruct("protein", indices=[]), ValueError, "None of the 0 cells was measured in 'protein'"),
        (lambda m: m.reconstruct("rna", transform_batch=[]), ValueError, "transform_batch is empty"),
        (lambda m: m.translate("rna", "protein", fill="own"), ValueError, "fill is 'own'"),
    ],
)
def test_what_makes_no_sense_is_refused(mosaic_model, ask, error, message):
    with pytest.raises(error, match=message):
        ask(mosaic_model)


def test_modalities_that_share_no_block_tell_nothing_about_each_other(train):
    from cellprism.latents import Block, LatentLayout
    from cellprism.objectives import Reconstruction

    layout = LatentLayout((Block("a", 2, ("rna",)), Block("b", 2, ("protein",))))
    model = train(simulate(), layout=layout, objectives=[Reconstruction()])
    with pytest.raises(ValueError, match="share no block, so one tells nothing about the other"):
        model.translate("rna", "protein")


def test_without_private_blocks_every_fill_is_the_same(train):
    model = train(simulate(present=MOSAIC), n_private=0)
    found = [model.translate("rna", "protein", fill=fill).X for fill in FILLS]
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])
