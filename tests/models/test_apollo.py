import logging

import numpy as np
import pytest
import torch

from cellprism import Apollo, datasets, tl
from cellprism.latents import Block, LatentLayout

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
