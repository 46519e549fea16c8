"""The one LightningModule: sums the objectives, steps the model, and lets critics take their turns."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from cellprism.data import Batch
from cellprism.module import LatentModule, Outputs
from cellprism.objectives import Critic, Objective
from cellprism.training._codes import fit_codes
from cellprism.training._history import History
from cellprism.training._processes import gathered, is_shared
from cellprism.training._stage import Optimisation, Stage

STEPS_OF_HELD_OUT_CODES = 5
"""Steps an epoch in which the codes of held-out cells follow the decoders."""

PACE_OF_SCALES = 7.0
"""How much faster than weights the scales of codes move."""


@dataclass(frozen=True)
class Term:
    """An objective at work.

    Parameters
    ----------
    name
        Name in the history; numbered where a model has several objectives of one kind.
    objective
        What is minimised.
    network
        What it learns for that.
    """

    name: str
    objective: Objective
    network: nn.Module


def term_names(objectives: tuple[Objective, ...]) -> list[str]:
    """Name each objective; the second of a kind is numbered 2."""
    names: list[str] = []
    for position, objective in enumerate(objectives):
        before = sum(other.name == objective.name for other in objectives[:position])
        names.append(f"{objective.name}_{before + 1}" if before else objective.name)
    return names


class TrainingPlan(LightningModule):
    """One stage of training.

    Parameters
    ----------
    module
        What is trained.
    stage
        Which objectives hold, and what is frozen.
    optimisation
        How weights move.
    max_epochs
        Epochs that warm-ups are measured in.

    Attributes
    ----------
    curves
        Every term by epoch.
    error
        What stopped training: a loss or gradient that was not finite.
    is_interrupted
        Whether the user wants training to stop.
    """

    def __init__(self, module: LatentModule, stage: Stage, *, optimisation: Optimisation, max_epochs: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.module = module
        self.stage = stage
        self.optimisation = optimisation
        self.max_epochs = max_epochs
        self.curves = History()
        self.error: str | None = None
        self.is_interrupted = False
        # Moves nothing. Its gradient, averaged over processes with those of weights, tells all of them of one that
        # met what is not finite (NaN) or was interrupted (above 0).
        self.link = nn.Parameter(torch.zeros(()))
        self.idle = nn.Parameter(torch.zeros(()))  # torch looks for unused weights, and warns where there are none
        self.terms = [
            Term(name, objective, network)
            for name, objective, network in zip(
                term_names(module.objectives), module.objectives, module.networks, strict=True
            )
            if objective in stage.objectives
        ]

    def get_extra_state(self) -> dict[str, Any]:
        """What Lightning brings back, beside weights, from processes that it forks or spawns."""
        curves = {name: dict(points) for name, points in self.curves.curves.items()}
        return {"curves": curves, "error": self.error, "is_interrupted": self.is_interrupted}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take what another process has found."""
        self.curves.curves.update(state["curves"])
        self.error, self.is_interrupted = state["error"], state["is_interrupted"]

    @property
    def critics(self) -> list[Term]:
        """Terms that take turns."""
        return [term for term in self.terms if isinstance(term.objective, Critic)]

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """One optimiser for the model, one for the critics where there are any, one for codes where they are fitted."""
        how, codes = self.optimisation, self.module.codes
        apart = {id(p) for term in self.critics for p in term.network.parameters()}
        if codes is not None:
            apart |= {id(p) for p in codes.parameters()}
        weights = [p for p in self.module.parameters() if p.requires_grad and id(p) not in apart]
        groups = [{"params": weights, "pace": 1.0}]
        if self._fits_codes and codes.raw_scale.requires_grad:
            # one number for all cells, which must travel as far as their codes do
            groups.append({"params": [codes.raw_scale], "pace": PACE_OF_SCALES, "weight_decay": 0.0})
        found = {"model": torch.optim.AdamW(groups, how.learning_rate, weight_decay=how.weight_decay, fused=True)}
        if self.critics:
            critics = [p for term in self.critics for p in term.network.parameters()]
            found["critics"] = torch.optim.Adam(critics, how.critic_learning_rate, betas=(0.5, 0.999), fused=True)
        if self._fits_codes:
            found["codes"] = torch.optim.SparseAdam(list(codes.tables.parameters()), how.code_learning_rate)
        self._positions = {name: position for position, name in enumerate(found)}
        return list(found.values())

    @property
    def _fits_codes(self) -> bool:
        return self.stage.uses_codes and self.module.codes is not None

    def _optimiser(self, name: str) -> torch.optim.Optimizer:
        optimisers = self.optimizers()
        return optimisers[self._positions[name]] if isinstance(optimisers, list) else optimisers

    def on_train_epoch_start(self) -> None:
        """Put networks to training, which Lightning leaves as it finds them; frozen ones stay as they are at use."""
        self.train()
        for modality in self.stage.frozen:
            self.module.coders[modality].eval()
            self.module.sources[modality].eval()

    def training_step(self, batch: Batch, batch_index: int) -> None:
        """Step the critics, then the model."""
        batch = self.module.augment(batch.only(self.stage.modalities))
        outputs = self.module(batch, from_codes=self.stage.uses_codes)
        progress = (self.current_epoch + batch_index / max(1, self.trainer.num_training_batches)) / self.max_epochs
        with self._full_precision():
            self._step_critics(outputs)
            loss, report = self.evaluate(outputs, progress)
        broken = self._broken(report)
        is_finite = self._step_model(self._linked(loss) * (math.nan if broken else 1.0), progress)
        if broken or not is_finite:
            self._stop(broken, batch_index)
        else:
            self._record(report, loss, batch, "train")

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Score held-out cells with final weights of all terms, once codes are fitted to them, decoders as they are."""
        if self.error is not None:
            return
        batch = batch.only(self.stage.modalities)
        if self.stage.uses_codes:
            self._fit_codes(batch)
        outputs = self.module(batch, from_codes=self.stage.uses_codes)
        with self._full_precision():
            loss, report = self.evaluate(outputs, progress=1.0)
        self._record(report, loss, batch, "validation")

    def _fit_codes(self, batch: Batch) -> None:
        """Go on from where the last epoch left these cells' codes, which training itself never moves."""
        start = {block: posterior.detach() for block, posterior in self.module.codes(batch.cells).items()}
        fitted = fit_codes(self.module, batch, start, n_steps=STEPS_OF_HELD_OUT_CODES, objectives=self.stage.objectives)
        self.module.codes.set(batch.cells, {block: posterior.mean for block, posterior in fitted.items()})

    def _full_precision(self) -> torch.autocast:
        """Sums, norms and critics in single precision, also where networks run in mixed precision."""
        return torch.autocast(self.device.type, enabled=False)

    def evaluate(self, outputs: Outputs, progress: float) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """Weighted sum of the objectives, and every term and metric by name.

        On held-out cells adversarial terms are reported but left out of the sum: what a critic can tell says
        nothing about progress.
        """
        total = torch.zeros((), device=outputs.batch.cells.device)
        report = {}
        for term in self.terms:
            values = term.objective.terms(outputs, term.network)
            metrics = term.objective.metrics(outputs, term.network)
            report |= {f"{term.name}_{key}": value for key, value in (values | metrics).items()}
            if values and (self.training or not term.objective.is_adversarial):
                total = total + term.objective.scale(progress) * torch.stack(list(values.values())).sum()
        return total, report

    def _step_critics(self, outputs: Outputs) -> None:
        for term in self.critics:
            for _ in range(term.objective.n_steps):
                loss = term.objective.critic_loss(outputs, term.network)
                self._step(self._optimiser("critics"), self._linked(loss), list(term.network.parameters()))

    def _pace(self, progress: float) -> float:
        """Share of the learning rate: rises over the first twenty steps, then falls to zero along half a cosine."""
        rise = min(1.0, (self.global_step + 1) / 20)
        return rise * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    def _step_model(self, loss: Float[Tensor, ""], progress: float) -> bool:
        """Step weights and codes; give whether gradients were finite, without which nothing moves."""
        optimiser, how = self._optimiser("model"), self.optimisation
        for group in optimiser.param_groups:
            group["lr"] = how.learning_rate * group["pace"] * self._pace(progress)
        if self._fits_codes:
            self._optimiser("codes").zero_grad()
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        is_finite = self._step(optimiser, loss, parameters)
        if self._fits_codes and is_finite:
            self._step_codes(progress)
        if is_finite and self._is_shared and self.link.grad > 0:
            self.is_interrupted = self.trainer.should_stop = True
        return is_finite

    def _step_codes(self, progress: float) -> None:
        codes = self._optimiser("codes")
        for group in codes.param_groups:
            group["lr"] = self.optimisation.code_learning_rate * self._pace(progress)
            for table in group["params"]:
                if self._is_shared and table.grad is not None:
                    # of this process's mean over cells; of the mean over all, as gradients of weights are
                    table.grad = table.grad / self.trainer.world_size
        codes.step()

    @property
    def _is_shared(self) -> bool:
        return is_shared(self.trainer)

    def _linked(self, loss: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """Add nothing to a loss, but a gradient in every process, also where a batch has none, so that none waits."""
        return loss + float(self.is_interrupted) * self.link if self._is_shared else loss

    def _step(self, optimiser: torch.optim.Optimizer, loss: Float[Tensor, ""], parameters: list[nn.Parameter]) -> bool:
        """Step, unless a gradient is not finite, here or in another process; give whether all were."""
        if not loss.requires_grad:
            return True
        optimiser.zero_grad()
        self.link.grad = None
        self.manual_backward(loss)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if norm > self.optimisation.max_gradient_norm:  # which spares most steps a pass over all gradients
            nn.utils.clip_grads_with_norm_(parameters, self.optimisation.max_gradient_norm, norm)
        is_finite = bool(torch.isfinite(norm if self.link.grad is None else norm + self.link.grad))
        if is_finite:
            optimiser.step()
        return is_finite

    def _broken(self, report: dict[str, Float[Tensor, ""]]) -> str | None:
        """Name the first term that is not finite."""
        if not report or torch.isfinite(torch.stack(list(report.values()))).all():
            return None
        name, value = next((n, v) for n, v in report.items() if not torch.isfinite(v))
        term = max((t.name for t in self.terms if name.startswith(f"{t.name}_")), key=len)
        return f"objective {term!r} of {name.removeprefix(f'{term}_')!r} is {float(value.detach())}"

    def _stop(self, broken: str | None, batch_index: int) -> None:
        """End training, in all processes, each of which knows now that there is a reason; one may know it by name."""
        named = [found for found in gathered(self.trainer, broken) if found]
        self.error = (
            f"Training stopped in stage {self.stage.name!r}: {(named or ['the gradient is infinite or NaN'])[0]} at "
            f"epoch {self.current_epoch}, step {batch_index}. The last good weights are kept. Look for extreme values "
            "in the data, or lower learning_rate."
        )
        self.trainer.should_stop = True

    def _record(self, report: dict[str, Tensor], loss: Tensor, batch: Batch, part: str) -> None:
        total = "train_loss_epoch" if part == "train" else "validation_loss"
        self.curves.add({f"{n}_{part}": v for n, v in report.items()} | {total: loss}, batch.n_cells)


def objectives_of(modalities: tuple[str, ...], objectives: tuple[Objective, ...]) -> tuple[Objective, ...]:
    """Objectives that make sense for these modalities alone: without another modality there is nothing to match."""
    if len(modalities) > 1:
        return objectives
    return tuple(objective for objective in objectives if not objective.is_adversarial)
