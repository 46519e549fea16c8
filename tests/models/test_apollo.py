import logging

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from tests.contracts.pictures import NETWORKS, STAINS, simulate_images

from cellprism import Apollo, datasets, tl
from cellprism.latents import Block, LatentLayout
from cellprism.modalities import Features, Images
from cellprism.models._query import inferred
from cellprism.training import Stage

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


@pytest.fixture(scope="module")
def mdata():
    return datasets.simulated("fully_independent", n_cells=120, observed={"x": 0.8, "y": 0.8})


@pytest.fixture(scope="module")
def model(mdata):
    model = Apollo(mdata, n_shared=4, n_private=3, n_hidden=16, seed=0)
    model.train(max_epochs=4, encoder_epochs=2, **QUIET)
    return model


def test_codes_follow_their_cells_through_another_order(model, mdata):
    order = np.random.default_rng(1).permutation(mdata.n_obs)
    names = mdata.obs_names[order]
    parts = {name: adata[[cell for cell in names if cell in adata.obs_names]] for name, adata in mdata.mod.items()}
    shuffled = type(mdata)({name: part.copy() for name, part in parts.items()})
    rows = mdata.obs_names.get_indexer(shuffled.obs_names)
    assert (rows != np.arange(len(rows))).any()
    np.testing.assert_array_equal(model.get_codes(shuffled), model.get_codes()[rows])


def test_codes_follow_their_cells_through_saving_and_loading_with_a_subset(model, mdata, tmp_path):
    model.save(tmp_path / "model")
    subset = mdata[50:20:-1].copy()
    loaded = Apollo.load(tmp_path / "model", subset, accelerator="cpu")
    np.testing.assert_array_equal(loaded.get_codes(), model.get_codes(subset))
    latents = loaded.get_latent_representation(), model.get_latent_representation(subset)
    np.testing.assert_allclose(*latents, atol=1e-5)


def test_a_model_without_data_still_knows_its_cells(model, mdata, tmp_path):
    model.save(tmp_path / "model")
    loaded = Apollo.load(tmp_path / "model", accelerator="cpu")
    np.testing.assert_array_equal(loaded.get_codes(mdata[:5].copy()), model.get_codes()[:5])


def test_cells_that_training_did_not_see_have_no_code(mdata):
    model = Apollo(mdata, n_shared=2, n_private=2, n_hidden=8, seed=0)
    model.train(max_epochs=1, encoder_epochs=1, train_indices=np.arange(80), **QUIET)
    has_code = np.isfinite(model.get_codes()).all(1)
    np.testing.assert_array_equal(has_code, np.arange(mdata.n_obs) < 80)


def test_a_cell_with_one_modality_has_a_shared_code_and_no_private_one_of_the_other(model, mdata):
    lacks_x = ~mdata.obs_names.isin(mdata["x"].obs_names)
    assert lacks_x.any()
    assert np.isfinite(model.get_codes()[lacks_x]).all()
    assert np.isnan(model.get_codes(block="x")[lacks_x]).all()


def test_a_step_moves_only_the_codes_of_its_cells(model):
    table = model.module.codes.tables["shared"]
    before = table.weight.detach().clone()
    optimiser = torch.optim.SparseAdam([table.weight], 0.1)
    table(torch.tensor([3, 5])).square().sum().backward()
    optimiser.step()
    moved = (table.weight.detach() != before).any(1).nonzero().flatten().tolist()
    with torch.no_grad():
        table.weight.copy_(before)
    assert table.weight.grad.is_sparse
    assert moved == [3, 5]


def test_decoders_stand_still_while_encoders_learn(mdata):
    model = Apollo(mdata, n_shared=2, n_private=2, n_hidden=8, seed=0)
    decoders = {}

    def keep(stage, training):
        decoders[stage.name] = [p.detach().clone() for p in model.module.coders["x"].decoding_parameters()]

    model._after_stage = keep
    model.train(max_epochs=2, encoder_epochs=2, **QUIET)
    for first, last in zip(decoders["codes"], decoders["fine-tune"], strict=True):
        torch.testing.assert_close(first, last, rtol=0, atol=0)


def test_refining_lowers_the_error_of_reconstruction(model, mdata):
    observed = np.asarray(mdata["x"].X)
    errors = []
    for n_steps in (0, 40):
        refined = model.reconstruct("x", refine_steps=n_steps)[mdata["x"].obs_names]
        errors.append(np.square(refined.X - observed).mean())
    assert errors[1] < errors[0]


def test_decoding_a_cells_latents_reconstructs_it(model, mdata):
    blocks = {name: model.get_latent_representation(block=name, modality="x") for name in ("shared", "x")}
    known = np.isfinite(blocks["x"]).all(1)
    decoded = model.decode("x", {name: values[known] for name, values in blocks.items()})
    difference = decoded.X - model.reconstruct("x").X  # dimensions put to rest are not in the latents
    assert np.square(difference).mean() < 0.05 * np.asarray(mdata["x"].X).var(0).mean()


def test_decode_says_which_blocks_it_needs(model):
    with pytest.raises(KeyError, match="expected \\['shared', 'x'\\], or \\['shared'\\]"):
        model.decode("x", {"y": np.zeros((1, 3))})
    with pytest.raises(ValueError, match="has shape \\(1, 9\\); expected \\(rows, 4\\)"):
        model.decode("x", {"shared": np.zeros((1, 9))})


def test_pruned_latents_are_narrower_and_can_be_decoded(mdata):
    model = Apollo(mdata, n_shared=4, n_private=3, n_hidden=16, seed=0)
    model.train(max_epochs=4, encoder_epochs=2, **QUIET)
    widths = model.prune(0.3)
    assert 1 <= widths["shared"] < 4
    latents = model.get_latent_representation()
    assert latents.shape == (mdata.n_obs, widths["shared"])
    assert np.isfinite(model.decode("y", {"shared": latents}).X).all()


def test_without_shared_decoders_translation_sets_the_private_code_to_zero(mdata):
    model = Apollo(mdata, n_shared=2, n_private=2, n_hidden=8, seed=0, has_shared_decoders=False)
    model.train(max_epochs=1, encoder_epochs=1, **QUIET)
    translated = model.translate("x", "y")
    assert translated.uns["cellprism"]["fill"] == "zeros"
    np.testing.assert_array_equal(translated.X, model.translate("x", "y", fill="zeros").X)


def test_a_block_may_be_shared_by_two_of_three_modalities():
    mdata = datasets.simulated("three_modalities", n_cells=60)
    layout = LatentLayout((Block("shared", 2, ("x", "y", "w")), Block("xw", 2, ("x", "w")), Block("x", 1, ("x",))))
    model = Apollo(mdata, layout=layout, n_hidden=8, seed=0)
    model.train(max_epochs=1, encoder_epochs=1, **QUIET)
    assert np.isfinite(model.get_latent_representation(block="xw")).all()
    assert np.isfinite(model.translate("y", "x").X).all()


def test_the_published_settings_train(mdata):
    model = Apollo.as_published(mdata, n_shared=2, n_private=2, n_hidden=8, n_layers=2, seed=0)
    model.train(max_epochs=1, encoder_epochs=1, fine_tune=False, **QUIET)
    assert np.isfinite(model.get_latent_representation()).all()


def test_each_epoch_belongs_to_a_stage(model):
    assert model.history["stage"]["stage"].tolist() == [1, 1, 1, 1, 2, 2, 3, 3]


def test_it_warns_where_no_cell_is_paired(caplog):
    whole = datasets.simulated("base", n_cells=60)
    first, second = whole["x"][:30].copy(), whole["y"][30:].copy()
    model = Apollo(type(whole)({"x": first, "y": second}), n_shared=2, n_private=2, n_hidden=8, seed=0)
    with caplog.at_level(logging.WARNING, "cellprism"):
        model.train(max_epochs=1, encoder_epochs=1, **QUIET)
    assert "No cell was measured in two modalities" in caplog.text


def test_wrong_settings_are_named(mdata):
    with pytest.raises(ValueError, match="start is 'cca'"):
        Apollo(mdata, start="cca")
    with pytest.raises(ValueError, match="noise is 0"):
        Apollo(mdata, noise=0)


# ---- what there is to model


SMALL = {"n_shared": 2, "n_private": 2, "n_hidden": 8, "seed": 0}
BRIEF = {"max_epochs": 1, "encoder_epochs": 1, **QUIET}


def test_it_warns_where_nothing_is_shared(caplog):
    first, second = (datasets.simulated("base", n_cells=80, noise=0.3, seed=seed) for seed in (0, 1))
    unrelated = type(first)({"x": first["x"], "y": second["y"]})
    model = Apollo(unrelated, **SMALL)
    with caplog.at_level(logging.WARNING, "cellprism"):
        model.train(**BRIEF)
    assert "Nothing was found that x and y share: block 'shared' carries" in caplog.text
    assert model.block_information().loc["shared", "used"] == 0


def test_it_does_not_warn_where_something_is_shared(mdata, caplog):
    model = Apollo(mdata, **SMALL)
    with caplog.at_level(logging.WARNING, "cellprism"):
        model.train(**BRIEF)
    assert not caplog.records
    assert model.block_information().loc["shared", "used"] > 0


def test_one_modality_alone_has_codes_and_latents(mdata):
    adata = mdata["x"].copy()
    layout = LatentLayout((Block("x", 3, ("x",)),))
    model = Apollo(type(mdata)({"x": adata}), layout=layout, n_hidden=16, seed=0)
    model.train(max_epochs=15, encoder_epochs=15, batch_size=20, learning_rate=1e-2, **QUIET)
    assert np.isfinite(model.get_codes(block="x")).all()
    error = np.square(model.reconstruct("x").X - adata.X).mean()
    assert error < 0.5 * np.asarray(adata.X).var(0).mean()


def test_an_anndata_is_one_modality(mdata):
    model = Apollo(mdata["x"].copy(), n_shared=3, n_private=0, n_hidden=8, seed=0)
    model.train(**BRIEF)
    assert np.isfinite(model.get_latent_representation()).all()
    assert model.get_codes().shape == (mdata["x"].n_obs, 3)


def test_without_private_blocks_the_two_decoders_are_one(mdata):
    model = Apollo(mdata, **(SMALL | {"n_private": 0}))
    model.train(**BRIEF)
    assert model.layout.names == ("shared",)
    assert model.module.paths("y") == ("full",)
    assert not {"shared_reconstruction"} & {objective.name for objective in model.objectives}
    cells = mdata.obs_names[mdata.obs_names.isin(mdata["x"].obs_names)]
    latents = model.get_latent_representation(modality="x")[mdata.obs_names.isin(cells)]
    np.testing.assert_allclose(
        model.translate("x", "y").X, model.decode("y", {"shared": latents}).X, rtol=1e-3, atol=1e-3
    )


def test_experimental_batches_are_decoded_and_not_coded():
    mdata = datasets.simulated("fully_independent", n_cells=120, noise=0.1)
    batches = np.arange(120) % 2
    mdata["x"].X = np.float32(mdata["x"].X + 3 * batches[:, None])
    mdata.obs["lane"] = np.array(["one", "two"])[batches]
    Apollo.setup_mudata(mdata, batch_key="lane")
    model = Apollo(mdata, n_shared=3, n_private=3, n_hidden=16, seed=0)
    model.train(max_epochs=25, encoder_epochs=2, batch_size=20, learning_rate=1e-2, fine_tune=False, **QUIET)
    shift = model.reconstruct("x", transform_batch="two").X - model.reconstruct("x", transform_batch="one").X
    assert 2 < shift.mean() < 4
    for block in ("shared", "x"):
        codes = model.get_codes(block=block)
        difference = codes[batches == 1].mean(0) - codes[batches == 0].mean(0)
        assert np.abs(difference).max() < codes.std()


def test_a_block_of_two_of_three_modalities_belongs_to_the_cells_that_have_one_of_them():
    mdata = datasets.simulated("three_modalities", n_cells=60, observed={"x": 0.6, "y": 0.9, "w": 0.6})
    layout = LatentLayout(
        (Block("shared", 2, ("x", "y", "w")), Block("xw", 2, ("x", "w")), *(Block(m, 1, (m,)) for m in "xyw"))
    )
    model = Apollo(mdata, layout=layout, n_hidden=8, seed=0)
    model.train(**BRIEF)
    has_either = mdata.obs_names.isin(mdata["x"].obs_names) | mdata.obs_names.isin(mdata["w"].obs_names)
    assert 0 < has_either.sum() < 60
    np.testing.assert_array_equal(np.isfinite(model.get_codes(block="xw")).all(1), has_either)
    assert np.isfinite(model.get_codes()).all()


def test_what_few_cells_were_measured_in_is_not_put_to_rest_for_the_others():
    mdata = datasets.simulated("fully_independent", n_cells=100, observed={"x": 1.0, "y": 0.1})
    model = Apollo(mdata, **SMALL)
    model.train(**BRIEF)
    codes, cells = model.module.codes, torch.from_numpy(model._require_dataset().cells_with("y"))
    with torch.no_grad():
        codes.raw_scale.fill_(-2.0)
    codes.set(cells, {"y": torch.ones(len(cells), 2)})  # half a nat each
    codes.is_used.fill_(True)
    assert model.block_information().loc["y", "used"] == 2
    model._after_stage(Stage("codes", (), ("x", "y"), uses_codes=True), np.arange(100))
    assert codes.used()["y"].all()


@pytest.fixture(scope="module")
def picture_model():
    mdata = simulate_images(32, n_channels=1, size=(16, 16))
    assert mdata["image"].obsm["image"].shape == (32, 1, 16, 16)
    kinds = {"rna": Features(), "image": Images(networks=NETWORKS, identity="stain")}
    Apollo.setup_mudata(mdata, kinds)
    model = Apollo(mdata, **SMALL)
    model.train(**BRIEF)
    return model


def test_images_are_translated_from_and_to(picture_model):
    images = picture_model.translate("rna", "image").obsm["image"]
    assert images.shape == (32, 1, 16, 16)
    assert np.isfinite(images).all()
    assert picture_model.translate("image", "rna").shape == (32, 14)
    assert np.isfinite(picture_model.get_codes(block="image")).all()


def test_what_is_stained_in_a_predicted_image_can_be_chosen(picture_model):
    chosen = {stain: picture_model.translate("rna", "image", identity=stain).obsm["image"] for stain in STAINS}
    own = picture_model.translate("rna", "image").obsm["image"]
    is_first = (picture_model.mdata["image"].obs["stain"] == STAINS[0]).to_numpy()
    np.testing.assert_allclose(own, np.where(is_first[:, None, None, None], *chosen.values()), atol=1e-6)
    assert np.abs(chosen[STAINS[0]] - chosen[STAINS[1]]).max() > 1e-6


# ---- refining


def negative_evidence(model, modality: str, n_steps: int) -> float:
    """What refining minimises, of one modality's cells."""
    dataset = model._require_dataset()
    batch = dataset.take(torch.from_numpy(dataset.cells_with(modality))).only((modality,))
    terms = [(o, n) for o, n in zip(model.objectives, model.module.networks, strict=True) if o.is_per_cell]
    with torch.no_grad():
        outputs = model.module.outputs_of(batch, inferred(model.module, batch, n_steps))
        return float(sum(o.weight * o.loss(outputs, network) for o, network in terms))


def test_each_step_of_refining_lowers_what_the_cells_cost(model):
    costs = [negative_evidence(model, "x", n_steps) for n_steps in (0, 5, 20, 80)]
    assert costs == sorted(costs, reverse=True)
    assert len(set(costs)) == 4


def test_refined_translation_reads_the_source_alone(model, mdata):
    query = mdata[:40].copy()
    changed = query.copy()
    changed["y"].X = np.random.default_rng(0).normal(size=changed["y"].shape).astype(np.float32)
    refined, other = (model.translate("x", "y", given, refine_steps=10).X for given in (query, changed))
    np.testing.assert_array_equal(refined, other)
    assert not np.allclose(refined, model.translate("x", "y", query).X)
    latents = [model.get_latent_representation(given, refine_steps=10) for given in (query, changed)]
    assert not np.allclose(*latents)  # which read both


def test_refining_changes_neither_the_model_nor_its_codes(model, mdata):
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    model.get_latent_representation(mdata[:20].copy(), refine_steps=3)
    assert all(torch.equal(value, before[name]) for name, value in model.module.state_dict().items())


# ---- however it ends, and afterwards


class InterruptOnce(Callback):
    """Press Ctrl-C in the second epoch of the first stage."""

    is_done = False

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if not self.is_done and trainer.current_epoch == 1:
            self.is_done = True
            raise KeyboardInterrupt


def test_ctrl_c_in_the_first_stage_ends_that_stage_and_encoders_are_trained(mdata, caplog):
    model = Apollo(mdata, **SMALL)
    with caplog.at_level(logging.WARNING, "cellprism"):
        model.train(max_epochs=50, encoder_epochs=2, callbacks=[InterruptOnce()], **QUIET)
    assert "Training was interrupted; the model keeps the best weights so far and can be used." in caplog.text
    assert model.history["stage"]["stage"].tolist() == [1, 2, 2, 3, 3]
    assert np.isfinite(model.get_latent_representation()).all()
    assert np.isfinite(model.translate("x", "y").X).all()
    assert all(parameter.requires_grad for parameter in model.module.coders["x"].decoding_parameters())
    assert not model.module.training


def test_pruning_by_no_share_leaves_out_dimensions_at_rest_alone(mdata):
    model = Apollo(mdata, n_shared=4, n_private=3, n_hidden=16, seed=0)
    model.train(max_epochs=4, encoder_epochs=2, **QUIET)
    codes, n_used = model.get_codes(), int(model.module.codes.used()["shared"].sum())
    assert 0 < n_used < 4
    assert model.prune(0)["shared"] == n_used
    np.testing.assert_array_equal(model.get_codes(), codes[:, codes.any(0)])


@pytest.fixture(scope="module")
def pruned(mdata):
    """A model; its codes, and what it decodes of them, before and after it was pruned."""
    model = Apollo(mdata, n_shared=6, n_private=2, n_hidden=16, noise=0.5, seed=0)
    model.train(max_epochs=25, encoder_epochs=1, batch_size=40, fine_tune=False, **QUIET)
    found = []
    for least_share in (0, 0.03):
        model.prune(least_share)
        found.append((model.get_codes(), model.decode("y", {"shared": model.get_codes()}).X))
    return model, found


def test_pruned_codes_are_those_of_the_axes_that_matter(pruned):
    _, ((before, decoded), (after, decoded_after)) = pruned
    is_kept = before.var(0) >= 0.03 * before.var(0).sum()
    assert 0 < is_kept.sum() < len(is_kept) == 6
    np.testing.assert_array_equal(after, before[:, is_kept])
    assert np.square(decoded_after - decoded).mean() < 0.1 * decoded.var(0).mean()


def test_pruned_axes_survive_saving_and_loading(pruned, mdata, tmp_path):
    model, _ = pruned
    model.save(tmp_path / "model")
    loaded = Apollo.load(tmp_path / "model", mdata, accelerator="cpu")
    assert loaded.axes_.keys() == model.axes_.keys()
    for block, axes in model.axes_.items():
        np.testing.assert_array_equal(loaded.axes_[block], axes)
        np.testing.assert_array_equal(loaded.get_codes(block=block), model.get_codes(block=block))
    assert loaded.block_information().equals(model.block_information())


def test_codes_of_cells_that_the_model_does_not_know_are_missing(model, mdata):
    parts = {name: adata[:4].copy() for name, adata in mdata[:20].copy().mod.items()}
    for adata in parts.values():
        adata.obs_names = [f"new {cell}" if i % 2 else cell for i, cell in enumerate(adata.obs_names)]
    strangers = type(mdata)(parts)
    assert 0 < strangers.obs_names.isin(mdata.obs_names).sum() < strangers.n_obs
    found = np.isfinite(model.get_codes(strangers)).all(1)
    np.testing.assert_array_equal(found, [name in mdata.obs_names for name in strangers.obs_names])


def test_codes_are_given_in_the_coordinates_of_latents(model, mdata):
    axes, table = model.axes_["shared"], model.module.codes.tables["shared"].weight.detach().numpy()
    np.testing.assert_allclose(model.get_codes(), table @ axes, rtol=1e-5, atol=1e-6)
    subset = mdata[10:20].copy()
    rows = mdata.obs_names.get_indexer(subset.obs_names)
    np.testing.assert_array_equal(model.get_codes(subset, indices=[3, 0]), model.get_codes(indices=rows[[3, 0]]))


# ---- bad arguments


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_epochs": 0}, "max_epochs is 0; expected at least 1"),
        ({"max_epochs": -1}, "max_epochs is -1; expected at least 1"),
        ({"encoder_epochs": -2}, "encoder_epochs is -2; expected at least 1"),
        ({"train_indices": [3]}, "There is 1 cell to train on; expected at least 2"),
    ],
)
def test_training_that_makes_no_sense_is_refused(mdata, settings, message):
    with pytest.raises(ValueError, match=message):
        Apollo(mdata, **SMALL).train(**(BRIEF | settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"noise": float("nan")}, "noise is nan; expected a positive number, or None to learn it"),
        ({"n_private": -1}, "Block 'x' has width -1; expected at least 1. Leave it out"),
        ({"input_dropout_rate": 1.5}, "input_dropout_rate is 1.5; expected at least 0 and below 1"),
        ({"layout": LatentLayout.split(["x", "z"], n_shared=1, n_private=1)}, "the data have"),
    ],
)
def test_models_that_make_no_sense_are_refused(mdata, settings, message):
    with pytest.raises(ValueError, match=message):
        Apollo(mdata, **(SMALL | settings))


def test_questions_that_make_no_sense_are_refused(model):
    for least_share in (1.0, -0.1):
        with pytest.raises(ValueError, match=f"least_share is {least_share}; expected a number from 0 to below 1"):
            model.prune(least_share)
    with pytest.raises(ValueError, match="refine_steps is -1; expected 0 or more"):
        model.translate("x", "y", refine_steps=-1)
    with pytest.raises(KeyError, match=r"There is no block 'shard'\. Did you mean 'shared'"):
        model.get_codes(block="shard")
    with pytest.raises(IndexError, match="indices reach from 1000 to 1000; mdata has rows 0 to 119"):
        model.get_codes(indices=[1000])


@pytest.mark.parametrize("question", [Apollo.get_codes, Apollo.prune, Apollo.block_information])
def test_a_model_that_is_not_trained_answers_nothing(mdata, question):
    with pytest.raises(RuntimeError, match=r"not trained\. Call train"):
        question(Apollo(mdata, **SMALL))


@pytest.fixture(scope="module")
def separated():
    mdata = datasets.simulated("fully_independent", n_cells=1000, noise=0.2)
    is_held_out = np.arange(1000) % 4 == 0
    model = Apollo(mdata, n_shared=6, n_private=6, n_hidden=64, seed=0)
    model.train(max_epochs=100, encoder_epochs=20, train_indices=np.flatnonzero(~is_held_out), **QUIET)
    return model, mdata.obsm["factors"][is_held_out], is_held_out


@pytest.mark.slow
def test_factors_of_held_out_cells_are_found_in_their_own_block_alone(separated):
    model, factors, is_held_out = separated
    blocks = {name: model.get_latent_representation(block=name)[is_held_out] for name in ("shared", "x", "y")}
    targets = {name: factors[name].to_numpy(dtype=float) + 1e-9 * np.arange(len(factors)) for name in ("Z1", "Z3")}
    scores = tl.probe(blocks, targets, n_permutations=2).set_index(["block", "target"])["score"]
    assert scores["shared", "Z1"] > 0.9
    assert scores["x", "Z3"] > 0.9
    for block, factor in (("x", "Z1"), ("y", "Z1"), ("shared", "Z3"), ("y", "Z3")):
        assert scores[block, factor] < 0.1


def test_axes_are_found_for_a_modality_that_few_of_many_cells_have(monkeypatch):
    monkeypatch.setattr("cellprism.models._axes.N_CELLS", 5)
    mdata = datasets.simulated("fully_independent", n_cells=200, observed={"x": 1.0, "y": 0.03})
    model = Apollo(mdata, **SMALL)
    model.train(**BRIEF)
    assert all(np.isfinite(axes).all() for axes in model.axes_.values())
    assert np.abs(model.axes_["y"]).max() > 1e-3
    assert np.isfinite(model.translate("x", "y").X).all()
