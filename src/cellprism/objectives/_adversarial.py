"""Make the latents of different modalities indistinguishable."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from cellprism._keys import SHARED
from cellprism.nn import CriticNetwork
from cellprism.objectives._base import Dimensions, Objective

if TYPE_CHECKING:
    from cellprism.module import Outputs


@dataclass(frozen=True, kw_only=True)
class Critic(Objective):
    r"""Match the distributions of modalities in a shared block, by a critic that tries to tell them apart.

    The critic *f* scores from which of *K* modalities a latent comes. ``"jensen_shannon"``: the critic minimises
    cross-entropy, the encoders :math:`-\log(1 - f_m(z^{(m)}))`; ``"least_squares"`` :cite:p:`mao2017`: the critic
    regresses on the modality's indicator, the encoders on :math:`1/K`. Each modality weighs alike whatever its
    number of cells, so that unequal sizes do not teach the critic the prior. The critic takes ``n_steps`` steps
    for each step of the model.

    With ``condition`` the critic also reads the label (any number of classes; an unlabelled cell has none) or the
    continuous markers, and so compares joint distributions of latent and condition.

    Matching distributions does not say which cell is which: many alignments satisfy this term alike. Labels,
    markers or pairs decide.

    Parameters
    ----------
    weight
        Multiplies the encoders' term; unit: nats.
    warmup
        Share of the epochs over which the weight rises from 0.
    divergence
        ``"jensen_shannon"`` or ``"least_squares"``.
    condition
        ``None``, ``"labels"`` or ``"marker"``.
    n_steps
        Critic steps per model step.
    n_hidden
        Width of the critic's two hidden layers.
    block
        Block to match.

    References
    ----------
    :math:`L_2` of :cite:t:`yang2021`; :cite:t:`goodfellow2014`.
    """

    weight: float = 0.1
    divergence: Literal["jensen_shannon", "least_squares"] = "jensen_shannon"
    condition: Literal["labels", "marker"] | None = None
    n_steps: int = 1
    n_hidden: int = 64
    block: str = SHARED

    name: ClassVar[str] = "critic"
    is_adversarial: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.divergence not in ("jensen_shannon", "least_squares"):
            raise ValueError(
                f"Critic has divergence {self.divergence!r}; expected 'jensen_shannon' or 'least_squares'."
            )
        if self.condition not in (None, "labels", "marker"):
            raise ValueError(f"Critic has condition {self.condition!r}; expected None, 'labels' or 'marker'.")
        if self.n_steps < 1:
            raise ValueError(f"Critic has n_steps={self.n_steps}; expected at least 1.")

    def build(self, dimensions: Dimensions) -> nn.Module:
        """Build the critic."""
        block = dimensions.layout[self.block]
        if len(block.modalities) < 2:
            raise ValueError(f"Critic needs a block that two modalities see; {self.block!r} is seen by one.")
        widths = {None: 0, "labels": dimensions.n_classes, "marker": dimensions.n_markers}
        if self.condition is not None and not widths[self.condition]:
            raise ValueError(
                f"Critic(condition={self.condition!r}) needs them registered: "
                f"setup_mudata(..., {'labels_key' if self.condition == 'labels' else 'marker_key'}=...)."
            )
        return _ConditionalCritic(block.modalities, block.width, widths[self.condition], self.n_hidden)

    def _scores(
        self, outputs: "Outputs", network: nn.Module, *, detach: bool
    ) -> dict[str, tuple[Tensor, Int[Tensor, " rows"]]]:
        """Scores of the rows of each modality and the modality's own column, for batches with two or more."""
        present = outputs.modalities_of(self.block)
        if len(present) < 2:
            return {}
        found = {}
        for modality in present:
            latent = outputs.samples[modality, self.block]
            latent = latent.detach() if detach else latent
            condition = self._condition(outputs, modality, network.n_conditions)
            scores = network.critic(torch.cat([latent, condition], dim=1))
            found[modality] = scores, scores.new_full((len(scores),), network.column(modality), dtype=torch.long)
        return found

    def _condition(self, outputs: "Outputs", modality: str, width: int) -> Float[Tensor, "rows conditions"]:
        cells = outputs.batch.observed[modality].cells
        if self.condition == "marker":
            return outputs.batch.markers[cells]
        if self.condition == "labels":
            labels = outputs.batch.labels[cells]
            return F.one_hot(labels.clamp(min=0), width).float() * (labels >= 0).float()[:, None]
        return torch.zeros(len(cells), 0, device=cells.device)

    def critic_loss(self, outputs: "Outputs", network: nn.Module) -> Float[Tensor, ""]:
        """What the critic minimises; no gradient reaches the encoders."""
        losses = []
        for scores, own in self._scores(outputs, network, detach=True).values():
            if self.divergence == "jensen_shannon":
                losses.append(F.cross_entropy(scores, own))
            else:
                losses.append(F.mse_loss(scores, F.one_hot(own, scores.shape[1]).float()))
        return torch.stack(losses).mean() if losses else torch.zeros((), device=outputs.batch.cells.device)

    def terms(self, outputs: "Outputs", network: nn.Module) -> dict[str, Float[Tensor, ""]]:
        """Give what the encoders minimise, per modality."""
        scored = self._scores(outputs, network, detach=False)
        return {modality: self._confusion(*pair) / len(scored) for modality, pair in scored.items()}

    def _confusion(self, scores: Tensor, own: Int[Tensor, " rows"]) -> Float[Tensor, ""]:
        if self.divergence == "least_squares":
            return F.mse_loss(scores, torch.full_like(scores, 1 / scores.shape[1]))
        others = scores.scatter(1, own[:, None], float("-inf"))
        return (torch.logsumexp(scores, dim=1) - torch.logsumexp(others, dim=1)).mean()

    def metrics(self, outputs: "Outputs", network: nn.Module) -> dict[str, Float[Tensor, ""]]:
        """Give the critic's accuracy, each modality weighing alike; chance is 1/K."""
        scored = self._scores(outputs, network, detach=True).values()
        if not scored:
            return {}
        return {"accuracy": torch.stack([(s.argmax(1) == own).float().mean() for s, own in scored]).mean()}


class _ConditionalCritic(nn.Module):
    """A critic that knows which column of its scores stands for which modality."""

    def __init__(self, modalities: tuple[str, ...], width: int, n_conditions: int, n_hidden: int) -> None:
        super().__init__()
        self.modalities = modalities
        self.n_conditions = n_conditions
        self.critic = CriticNetwork(width, n_conditions, len(modalities), n_hidden)

    def column(self, modality: str) -> int:
        """Give the modality's column."""
        return self.modalities.index(modality)
