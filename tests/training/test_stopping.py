"""However training ends, a usable model is left."""

import os
import re
import signal
from dataclasses import dataclass
from typing import Any, ClassVar
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from tests.contracts.simulated import simulate

from cellprism import CrossModalVAE
from cellprism.objectives import Critic, KLDivergence, Objective, Reconstruction
from cellprism.training import TrainingPlan
from cellprism.training._callbacks import KeepBest
from cellprism.training._history import History

QUIET: dict[str, Any] = {"enable_progress_bar": False, "accelerator": "cpu"}
SMALL: dict[str, Any] = {"n_shared": 3, "n_private": 2, "n_hidden": 8, "seed": 0}


@dataclass(frozen=True, kw_only=True)
class BreaksAtStep(Objective):
    """Is NaN, or has a NaN gradient, from a step on, for one modality."""

    step: int = 5
    modality: str = "protein"
    gradient_only: bool = False

    name: ClassVar[str] = "breaking"
    calls: ClassVar[list[int]] = []

    def terms(self, outputs: Any, network: torch.nn.Module) -> dict[str, torch.Tensor]:
        self.calls.append(1)
        latent = outputs.samples[self.modality, "shared"]
        if len(self.calls) <= self.step:
            return {self.modality: latent.square().mean()}
        broken = (0 * latent).abs().sqrt() if self.gradient_only else latent * float("nan")
        return {self.modality: broken.mean()}


@pytest.fixture(autouse=True)
def _no_calls_yet():
    BreaksAtStep.calls.clear()


def breaking_model(**settings: Any) -> CrossModalVAE:
    return CrossModalVAE(simulate(), objectives=[Reconstruction(), BreaksAtStep(**settings)], **SMALL)


def assert_usable(model: CrossModalVAE) -> None:
    assert model.is_trained
    assert all(torch.isfinite(parameter).all() for parameter in model.module.parameters())
    assert all(parameter.requires_grad for name, parameter in model.module.coders.named_parameters())
    assert not model.module.training
    assert np.isfinite(model.get_latent_representation()).all()
    assert np.isfinite(model.translate("rna", "protein", fill="mean").X).all()


def test_nan_stops_training_and_names_objective_modality_epoch_and_step():
    model = breaking_model(step=5)
    message = r"objective 'breaking' of 'protein' is nan at epoch 2, step 1\. The last good weights are kept"
    with pytest.raises(FloatingPointError, match=message):
        model.train(max_epochs=5, batch_size=20, validation_size=0, **QUIET)
    assert_usable(model)


def test_a_gradient_that_is_not_finite_stops_training_and_is_not_applied():
    model = breaking_model(step=1, gradient_only=True)
    with pytest.raises(FloatingPointError, match="the gradient is infinite or NaN at epoch 0, step 1"):
        model.train(max_epochs=5, batch_size=20, validation_size=0, **QUIET)
    assert_usable(model)


def test_nan_from_a_decoder_names_the_modality(monkeypatch):
    model = CrossModalVAE(simulate(), objectives=[Reconstruction()], **SMALL)
    coder = model.module.coders["rna"]
    monkeypatch.setattr(
        coder, "log_likelihood", lambda likelihood, rows: torch.full((len(rows),), float("inf")) + 0 * coder.baseline[0]
    )
    with pytest.raises(FloatingPointError, match=r"objective 'reconstruction' of 'rna' is -inf at epoch 0, step 0"):
        model.train(max_epochs=2, **QUIET)


def test_nan_keeps_the_weights_with_the_best_held_out_loss():
    seen: dict[str, Any] = {}

    class Remember(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            loss = pl_module.curves.last("validation_loss")
            if loss < seen.get("loss", np.inf):
                weights = {k: v.clone() for k, v in pl_module.module.state_dict().items()}
                seen.update(loss=loss, weights=weights)

    mdata = simulate(100)
    model = CrossModalVAE(mdata, objectives=[Reconstruction(), BreaksAtStep(step=9)], **SMALL)
    with pytest.raises(FloatingPointError):
        model.train(max_epochs=5, batch_size=30, callbacks=[Remember()], **QUIET)
    for name, parameter in model.module.named_parameters():
        assert torch.equal(parameter, seen["weights"][name]), name
    assert list(model.history["validation_loss"].index) == [0, 1]


class At(Callback):
    """Do something at the end of a batch of an epoch."""

    def __init__(self, action, epoch: int, batch: int = 0) -> None:
        self.action, self.epoch, self.batch = action, epoch, batch

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.current_epoch == self.epoch and batch_idx == self.batch:
            self.action()


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def raise_interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("interrupt", [press_ctrl_c, raise_interrupt])
@pytest.mark.parametrize("epoch", [0, 2])
def test_ctrl_c_leaves_a_usable_model_and_the_handler_as_it_was(interrupt, epoch, caplog):
    handler = signal.getsignal(signal.SIGINT)
    model = CrossModalVAE(simulate(100), **SMALL)
    model.train(max_epochs=50, batch_size=30, callbacks=[At(interrupt, epoch)], **QUIET)
    assert signal.getsignal(signal.SIGINT) is handler
    assert_usable(model)
    assert "Training was interrupted; the model keeps the best weights so far" in caplog.text
    assert all(len(curve) <= epoch + 1 for curve in (model.history or {}).values())


def test_ctrl_c_in_the_first_of_two_stages_ends_training():
    model = CrossModalVAE(simulate(), **SMALL)
    model.train(max_epochs=5, pretrain="rna", callbacks=[At(press_ctrl_c, 1)], **QUIET)
    assert_usable(model)
    assert "reconstruction_protein_train" not in model.history


def test_a_second_ctrl_c_ends_training_at_once():
    def press_twice() -> None:
        press_ctrl_c()
        press_ctrl_c()

    handler = signal.getsignal(signal.SIGINT)
    model = CrossModalVAE(simulate(100), **SMALL)
    model.train(max_epochs=50, batch_size=30, callbacks=[At(press_twice, 1)], **QUIET)
    assert signal.getsignal(signal.SIGINT) is handler
    assert_usable(model)


def test_training_goes_on_after_ctrl_c():
    model = CrossModalVAE(simulate(), **SMALL)
    model.train(max_epochs=9, callbacks=[At(raise_interrupt, 0)], **QUIET)
    model.train(max_epochs=2, **QUIET)
    assert len(model.history["train_loss_epoch"]) >= 2


def test_another_error_is_not_taken_for_ctrl_c():
    def fail() -> None:
        raise RuntimeError("disk full")

    handler = signal.getsignal(signal.SIGINT)
    model = CrossModalVAE(simulate(), **SMALL)
    with pytest.raises(RuntimeError, match="disk full"):
        model.train(max_epochs=3, callbacks=[At(fail, 0)], **QUIET)
    assert signal.getsignal(signal.SIGINT) is handler


def test_early_stopping_restores_the_best_weights():
    weights: dict[int, dict[str, torch.Tensor]] = {}

    class Remember(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            weights[trainer.current_epoch] = {k: v.clone() for k, v in pl_module.module.named_parameters()}

    model = CrossModalVAE(simulate(100), objectives=[Reconstruction(), KLDivergence(), Critic()], **SMALL)
    model.train(max_epochs=40, patience=2, learning_rate=0.3, batch_size=20, callbacks=[Remember()], **QUIET)
    losses = model.history["validation_loss"]["validation_loss"]
    best = int(losses.idxmin())
    assert len(losses) == best + 3 < 40
    for name, parameter in model.module.named_parameters():
        assert torch.equal(parameter, weights[best][name]), name


def test_without_early_stopping_every_epoch_is_run():
    model = CrossModalVAE(simulate(100), objectives=[Reconstruction()], **SMALL)
    model.train(max_epochs=8, patience=1, learning_rate=0.3, early_stopping=False, **QUIET)
    assert len(model.history["validation_loss"]) == 8


def test_the_progress_bar_shows_the_losses(capsys):
    model = CrossModalVAE(simulate(100), objectives=[Reconstruction()], **SMALL)
    model.train(max_epochs=2, accelerator="cpu")
    shown = capsys.readouterr().err
    assert re.search(r"train: 100%.* 2/2 .*loss=.*held-out=", shown.replace("\r", "\n"))


# ---- the best weights


def run_through(keeper: KeepBest, losses: list[float]) -> tuple[Any, int | None]:
    """Run through held-out losses; give the plan, whose weight is the epoch, and when it was told to stop."""
    plan = Mock(spec=TrainingPlan, curves=History(), module=torch.nn.Linear(1, 1))
    for epoch, loss in enumerate(losses):
        trainer = Mock(spec=Trainer, current_epoch=epoch, should_stop=False)
        plan.module.load_state_dict({"weight": torch.zeros(1, 1), "bias": torch.tensor([float(epoch)])})
        plan.curves.add({"validation_loss": torch.tensor(loss)}, 1)
        plan.curves.close_epoch(epoch)
        keeper.on_train_epoch_end(trainer, plan)
        if trainer.should_stop:
            return plan, epoch
    return plan, None


def test_training_stops_when_the_held_out_loss_has_not_improved_for_a_while():
    assert run_through(KeepBest(2), [10.0, 6.0, 6.1, 5.9, 7.0, 6.0, 5.0])[1] == 5
    assert run_through(KeepBest(None), [10.0, 6.0, 6.1, 6.2, 6.3])[1] is None


def test_a_run_cut_short_goes_back_to_its_best_weights():
    keeper = KeepBest(5)
    plan, _ = run_through(keeper, [10.0, 6.0, 6.5, 6.2])
    keeper.restore(plan, n_epochs=10)
    assert keeper.best_epoch == int(plan.module.bias) == 1


def test_a_run_that_reaches_the_end_of_its_schedule_keeps_its_last_weights():
    keeper = KeepBest(None)
    plan, _ = run_through(keeper, [1.0, 2.0, 3.0])
    keeper.restore(plan, n_epochs=3)
    assert (keeper.best_epoch, int(plan.module.bias)) == (0, 2)
