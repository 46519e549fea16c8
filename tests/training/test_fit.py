import logging
import random
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from tests.contracts.simulated import MOSAIC, UNPAIRED, simulate

from cellprism import CrossModalVAE
from cellprism.objectives import Anchor, Classifier, Critic, KLDivergence, Reconstruction
from cellprism.training import objectives_of

QUIET: dict[str, Any] = {"enable_progress_bar": False, "accelerator": "cpu"}
SMALL: dict[str, Any] = {"n_shared": 3, "n_private": 2, "n_hidden": 8, "seed": 0}


def model_of(mdata=None, **settings: Any) -> CrossModalVAE:
    return CrossModalVAE(simulate() if mdata is None else mdata, **(SMALL | settings))


def weights_of(model: CrossModalVAE, modality: str) -> dict[str, torch.Tensor]:
    parts = {"coder": model.module.coders[modality], "source": model.module.sources[modality]}
    return {f"{k}.{n}": p.detach().clone() for k, part in parts.items() for n, p in part.named_parameters()}


# ---- batches and cells


def test_a_last_batch_of_one_cell_is_no_special_case():
    mdata = simulate(41, present={"rna": range(30), "protein": range(20, 41)})
    CrossModalVAE.setup_mudata(mdata, labels_key="label", batch_key="batch")
    model = model_of(mdata)
    model.train(max_epochs=2, batch_size=8, validation_size=0, **QUIET)
    assert np.isfinite(model.get_latent_representation(batch_size=8)).all()
    one_by_one = model.get_latent_representation(batch_size=1)
    np.testing.assert_allclose(one_by_one, model.get_latent_representation(), atol=1e-5)


class _Modes(Callback):
    """Note whether every network is in training mode, by kind of batch."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, bool]] = set()

    def on_train_batch_start(self, trainer, pl_module, *_) -> None:
        self.seen.add(("training", all(part.training for part in pl_module.module.modules())))

    def on_validation_batch_start(self, trainer, pl_module, *_) -> None:
        self.seen.add(("held out", any(part.training for part in pl_module.module.modules())))


def test_dropout_and_draws_are_on_in_training_and_off_for_held_out_cells_and_afterwards():
    model, modes = model_of(), _Modes()
    model.train(max_epochs=3, validation_size=0.25, callbacks=[modes], **QUIET)
    assert modes.seen == {("training", True), ("held out", False)}
    assert not any(part.training for part in model.module.modules())


def test_batches_of_one_cell_train():
    model = model_of(simulate(6))
    model.train(max_epochs=1, batch_size=1, **QUIET)
    assert np.isfinite(model.get_latent_representation()).all()


def test_one_cell_only_is_an_error_that_says_so():
    model = model_of(simulate(1))
    with pytest.raises(ValueError, match="There is 1 cell to train on; expected at least 2"):
        model.train(max_epochs=1, **QUIET)


def test_two_cells_train():
    model = model_of(simulate(2))
    model.train(max_epochs=1, **QUIET)
    assert model.get_latent_representation().shape == (2, 3)


def test_validation_cells_are_disjoint_from_training_cells_and_fixed_by_the_seed():
    splits = []
    for _ in range(2):
        model = model_of(simulate(100))
        model.train(max_epochs=1, validation_size=0.2, **QUIET)
        splits.append((model.train_indices, model.validation_indices))
    training, validation = splits[0]
    assert len(validation) == 20
    np.testing.assert_array_equal(np.union1d(training, validation), np.arange(100))
    assert not set(training) & set(validation)
    np.testing.assert_array_equal(validation, splits[1][1])


def test_cells_may_be_chosen_by_rows_or_by_a_mask():
    chosen = np.arange(100) % 2 == 0
    model = model_of(simulate(100))
    model.train(max_epochs=1, train_indices=chosen, validation_indices=[0, 1, 2], **QUIET)
    np.testing.assert_array_equal(model.validation_indices, [0, 1, 2])
    np.testing.assert_array_equal(model.train_indices, np.flatnonzero(chosen)[2:])


def test_rows_out_of_reach_are_refused():
    with pytest.raises(IndexError, match="train_indices reaches from 0 to 40; the data have rows 0 to 39"):
        model_of().train(max_epochs=1, train_indices=np.arange(41), **QUIET)


def test_training_cells_without_a_modality_are_refused():
    with pytest.raises(ValueError, match="None of the 20 training cells was measured in 'protein'"):
        model_of(simulate(present=UNPAIRED)).train(max_epochs=1, train_indices=range(20), **QUIET)


def test_statistics_are_those_of_the_training_cells_only():
    mdata = simulate()
    training = np.arange(0, 40, 2)
    model = model_of(mdata)
    model.train(max_epochs=1, train_indices=training, **QUIET)
    rna = mdata["rna"].X.toarray()[training]
    protein = np.asarray(mdata["protein"].X)[training]
    frequency = (rna.sum(0) + 0.5) / (rna.sum(0) + 0.5).sum()
    np.testing.assert_allclose(model.module.coders["rna"].baseline.numpy(), np.log(frequency), rtol=1e-4)
    np.testing.assert_allclose(model.module.coders["protein"].location.numpy(), protein.mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.module.coders["protein"].unit.numpy(), protein.std(0), rtol=1e-4)


def test_cells_that_are_not_trained_on_change_nothing():
    latents = []
    for factor in (1.0, 5.0):
        mdata = simulate()
        mdata["protein"].X[30:] *= factor
        model = model_of(mdata)
        model.train(max_epochs=2, train_indices=range(30), **QUIET)
        latents.append(model.get_latent_representation()[:30])
    np.testing.assert_array_equal(*latents)


# ---- randomness


@pytest.mark.usefixtures("unchecked_types")  # the type checker itself draws random numbers
def test_the_users_random_numbers_are_untouched():
    mdata = simulate(present=MOSAIC)
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    model = model_of(mdata)
    model.train(max_epochs=1, **QUIET)
    model.get_latent_representation(n_samples=2)
    model.translate("rna", "protein", fill="sample", n_samples=2)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]


def test_what_the_user_drew_before_changes_nothing():
    latents = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        model = model_of()
        model.train(max_epochs=2, **QUIET)
        latents.append(model.get_latent_representation())
    np.testing.assert_array_equal(*latents)


def test_torch_threads_grad_mode_and_loggers_are_left_as_they_were():
    level = logging.getLogger("lightning.pytorch").level
    model_of().train(max_epochs=1, **QUIET)
    assert torch.is_grad_enabled()
    assert logging.getLogger("lightning.pytorch").level == level


def test_training_gives_back_gradients_and_moments():
    class Optimisers(Callback):
        def on_train_epoch_end(self, trainer, pl_module) -> None:
            self.found = trainer.optimizers
            self.had_moments = all(optimiser.state for optimiser in self.found)

    model, watch = model_of(), Optimisers()
    model.train(max_epochs=1, callbacks=[watch], **QUIET)
    assert watch.found
    assert watch.had_moments
    assert not any(optimiser.state for optimiser in watch.found)
    assert all(parameter.grad is None for parameter in model.module.parameters())


# ---- history


def test_history_has_a_point_of_every_term_for_each_epoch():
    mdata = simulate(100, present={"rna": range(70), "protein": range(30, 100)})
    CrossModalVAE.setup_mudata(mdata, labels_key="label")
    objectives = [Reconstruction(), KLDivergence(), Anchor(), Classifier(), Critic(condition="labels")]
    model = model_of(mdata, objectives=objectives)
    model.train(max_epochs=3, **QUIET)
    expected = {"train_loss_epoch", "validation_loss", "critic_accuracy_train", "critic_accuracy_validation"}
    expected |= {f"reconstruction_{m}_{part}" for m in ("rna", "protein") for part in ("train", "validation")}
    expected |= {"classifier_accuracy_rna_train", "anchor_rna_protein_train", "kl_rna_shared_train"}
    assert expected <= set(model.history)
    for name, curve in model.history.items():
        assert curve.columns.tolist() == [name]
        assert curve.index.name == "epoch"
        assert curve.index.tolist() == [0, 1, 2], name
        assert np.isfinite(curve[name]).all()
    accuracy = model.history["critic_accuracy_train"]["critic_accuracy_train"]
    assert accuracy.between(0, 1).all()


def test_training_twice_continues():
    model = model_of()
    model.train(max_epochs=2, **QUIET)
    before = weights_of(model, "rna")
    statistics = model.module.coders["rna"].baseline.clone()
    model.train(max_epochs=3, train_indices=range(30), **QUIET)
    assert model.history["train_loss_epoch"].index.tolist() == [0, 1, 2, 3, 4]
    assert torch.equal(model.module.coders["rna"].baseline, statistics)
    after = weights_of(model, "rna")
    moved = max(float((after[name] - weight).abs().max()) for name, weight in before.items())
    assert 0 < moved < 0.1


# ---- steps


@pytest.mark.parametrize("n_steps", [1, 3])
def test_a_critic_takes_as_many_steps_as_asked(n_steps, monkeypatch):
    calls = []
    critic_loss = Critic.critic_loss
    monkeypatch.setattr(Critic, "critic_loss", lambda self, *args: calls.append(1) or critic_loss(self, *args))
    model = model_of(objectives=[Reconstruction(), Critic(n_steps=n_steps)])
    model.train(max_epochs=2, batch_size=20, validation_size=0, **QUIET)
    assert len(calls) == 2 * 2 * n_steps


def test_networks_are_trained_in_training_mode_after_validation():
    modes = []

    class Look(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            modes.append((pl_module.module.training, pl_module.module.coders["rna"].training))

    model_of(simulate(100)).train(max_epochs=2, callbacks=[Look()], **QUIET)
    assert modes
    assert all(all(mode) for mode in modes)


# ---- stages


def test_the_frozen_modality_is_bit_identical_after_the_others_are_matched():
    seen: dict[str, Any] = {}

    class Remember(Callback):
        def on_train_start(self, trainer, pl_module):
            seen[pl_module.stage.name] = weights_of(model, "rna")

    mdata = simulate(present=MOSAIC)
    model = model_of(mdata, dropout_rate=0.5)
    initial = weights_of(model, "rna")
    model.train(max_epochs=3, pretrain="rna", freeze=True, callbacks=[Remember()], **QUIET)
    final = weights_of(model, "rna")
    assert all(torch.equal(weight, seen["match"][name]) for name, weight in final.items())
    assert any(not torch.equal(weight, initial[name]) for name, weight in final.items())


def test_without_freezing_the_pretrained_modality_moves_on():
    seen: dict[str, Any] = {}

    class Remember(Callback):
        def on_train_start(self, trainer, pl_module):
            seen[pl_module.stage.name] = weights_of(model, "rna")

    model = model_of(simulate(present=MOSAIC))
    model.train(max_epochs=2, pretrain="rna", freeze=False, callbacks=[Remember()], **QUIET)
    assert any(not torch.equal(weight, seen["match"][name]) for name, weight in weights_of(model, "rna").items())


def test_what_is_fixed_by_an_objective_stays_fixed_through_stages_and_runs():
    model = model_of(objectives=[Reconstruction(), Anchor(temperature=0.3)])
    temperature = model.module.networks[1].log_temperature.clone()
    for _ in range(2):
        model.train(max_epochs=2, pretrain="rna", freeze=False, learning_rate=0.1, **QUIET)
    assert torch.equal(model.module.networks[1].log_temperature, temperature)
    learning = model_of(objectives=[Reconstruction(), Anchor(temperature=None)])
    before = learning.module.networks[1].log_temperature.item()
    learning.train(max_epochs=2, learning_rate=0.1, **QUIET)
    assert learning.module.networks[1].log_temperature.item() != before


def test_pretraining_looks_at_one_modality_and_both_stages_are_in_the_history():
    model = model_of(simulate(present=MOSAIC), objectives=[Reconstruction(), Critic()])
    model.train(max_epochs=2, pretrain="rna", **QUIET)
    assert model.history["reconstruction_rna_train"].index.tolist() == [0, 1, 2, 3]
    assert model.history["reconstruction_protein_train"].index.tolist() == [2, 3]
    assert model.history["critic_accuracy_train"].index.tolist() == [2, 3]


def test_pretraining_can_have_a_length_of_its_own():
    model = model_of(simulate(present=MOSAIC), objectives=[Reconstruction(), Critic()])
    model.train(max_epochs=2, pretrain="rna", pretrain_epochs=3, **QUIET)
    assert model.history["reconstruction_rna_train"].index.tolist() == [0, 1, 2, 3, 4]
    assert model.history["reconstruction_protein_train"].index.tolist() == [3, 4]


def test_an_unknown_modality_to_pretrain_offers_the_closest():
    with pytest.raises(KeyError, match=r"no modality 'protien'. Did you mean 'protein'"):
        model_of().train(max_epochs=1, pretrain="protien", **QUIET)


def test_alone_a_modality_has_nothing_to_match():
    objectives = (Reconstruction(), Classifier(), Critic())
    assert objectives_of(("rna",), objectives) == objectives[:2]
    assert objectives_of(("rna", "atac"), objectives) == objectives


def test_pretraining_works_with_a_modality_named_like_a_method():
    mdata = simulate(kinds={"train": "sparse", "rna.1": "features"})
    model = model_of(mdata)
    model.train(max_epochs=1, pretrain="train", **QUIET)
    assert np.isfinite(model.get_latent_representation(block="rna.1")).all()
