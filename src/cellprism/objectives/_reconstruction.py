"""How well measurements are decoded from latents."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from cellprism.objectives._base import Dimensions, Objective

if TYPE_CHECKING:
    from cellprism.module import Outputs


@dataclass(frozen=True, kw_only=True)
class Reconstruction(Objective):
    r"""Negative log-likelihood of each modality from its own blocks.

    .. math:: \sum_m \frac{1}{|m| \, p_m} \sum_{i \in m} -\log p(x_i^{(m)} \mid z_{S,i}^{(m)}, z_{m,i})

    with :math:`z^{(m)}` drawn from the posterior of modality *m* alone and :math:`p_m` its number of features, so
    that modalities of any size weigh alike. Unit: nats per feature.

    Parameters
    ----------
    weight
        Multiplies the term.
    warmup
        Share of the epochs over which the weight rises from 0.
    balance
        1: modalities weigh alike; 0: every measured value does, as in the likelihood of all data, over the mean
        number of features. Between them, in between. Above 0, a cell weighs the more the fewer cells of its batch
        have the modality.

    References
    ----------
    :math:`L_1` of :cite:t:`yang2021`.
    """

    balance: float = 1.0

    name: ClassVar[str] = "reconstruction"

    @property
    def is_per_cell(self) -> bool:
        """A cell is reconstructed from its own latents."""
        return True

    def terms(self, outputs: "Outputs", network: nn.Module) -> dict[str, Float[Tensor, ""]]:
        """Give the loss per modality."""
        return {
            modality: -outputs.weight(modality, self.balance)
            * outputs.score(modality, "full", outputs.own_latent(modality, "full")).mean()
            for modality in outputs.batch.observed
        }


@dataclass(frozen=True, kw_only=True)
class SharedReconstruction(Objective):
    r"""Negative log-likelihood of each modality from the shared blocks alone, by the shared-only decoder.

    What the shared-only decoder learns is what translation uses. Nothing for a modality without private blocks,
    whose two decoders are one.

    Parameters
    ----------
    weight
        Multiplies the term; unit: nats per feature.
    warmup
        Share of the epochs over which the weight rises from 0.
    balance
        As in :class:`Reconstruction`.
    moves_latents
        Whether the term shapes the shared blocks, or the shared-only decoders alone. Where it does, it asks of the
        shared blocks all that reconstructs a modality, what is private to it included.

    References
    ----------
    Shared-only decoders of :cite:t:`zhang2026`.
    """

    balance: float = 1.0
    moves_latents: bool = True

    name: ClassVar[str] = "shared_reconstruction"
    trains_shared_decoders: ClassVar[bool] = True

    @property
    def is_per_cell(self) -> bool:
        """Says something about latents where it moves them."""
        return self.moves_latents

    def terms(self, outputs: "Outputs", network: nn.Module) -> dict[str, Float[Tensor, ""]]:
        """Give the loss per modality."""
        losses = {}
        for modality in outputs.batch.observed:
            if outputs.has_private(modality):
                latent = outputs.own_latent(modality, "shared")
                score = outputs.score(modality, "shared", latent if self.moves_latents else latent.detach())
                losses[modality] = -outputs.weight(modality, self.balance) * score.mean()
        return losses


@dataclass(frozen=True, kw_only=True)
class CrossReconstruction(Objective):
    r"""Negative log-likelihood of one modality of a paired cell from the shared latent of the other.

    .. math:: \frac{1}{|P| \, p_b} \sum_{i \in P} -\log p(x_i^{(b)} \mid z_{S,i}^{(a)})

    over the paired cells *P*, for each ordered pair *a*, *b*. Nothing where no cell is paired.

    Parameters
    ----------
    weight
        Multiplies the term; unit: nats per feature.
    warmup
        Share of the epochs over which the weight rises from 0.
    """

    name: ClassVar[str] = "cross_reconstruction"
    trains_shared_decoders: ClassVar[bool] = True
    is_of_encoders: ClassVar[bool] = True

    def terms(self, outputs: "Outputs", network: nn.Module) -> dict[str, Float[Tensor, ""]]:
        """Give the loss per source and target."""
        losses = {}
        for source in outputs.batch.observed:
            for target in outputs.batch.observed:
                in_source, in_target = outputs.batch.pairs(source, target)
                if source != target and len(in_source):
                    latent = outputs.foreign_latent(source, target, in_source)
                    losses[f"{source}_to_{target}"] = -outputs.score(target, "shared", latent, in_target).mean()
        return losses


@dataclass(frozen=True, kw_only=True)
class JointReconstruction(Objective):
    r"""Negative log-likelihood of paired cells from the product of what their modalities say.

    The shared latent is drawn from the product of experts :cite:p:`wu2018`, the private one from the modality's
    own posterior. Nothing where no cell is paired.

    Parameters
    ----------
    weight
        Multiplies the term; unit: nats per feature.
    warmup
        Share of the epochs over which the weight rises from 0.
    """

    name: ClassVar[str] = "joint_reconstruction"
    is_of_encoders: ClassVar[bool] = True

    def terms(self, outputs: "Outputs", network: nn.Module) -> dict[str, Float[Tensor, ""]]:
        """Give the loss per modality."""
        losses = {}
        for modality in outputs.batch.observed:
            rows = outputs.rows_with_partner(modality)
            if len(rows):
                latent = outputs.joint_latent(modality, rows)
                losses[modality] = -outputs.score(modality, "full", latent, rows).mean()
        return losses


@dataclass(frozen=True, kw_only=True)
class MatchedReconstruction(Objective):
    r"""Negative log-likelihood of one modality's cells from the shared latents of other cells of the same class.

    .. math:: \frac{1}{|b| \, p_b} \sum_{i \in b} -\log p(x_i^{(b)} \mid z_{S,j}^{(a)}), \qquad y_j = y_i

    with *j* drawn among the batch's cells of modality *a* that have the label of *i*. Two modalities tell a class
    with unequal certainty; a decoder that has only seen its own modality's latents is led astray by the other's.
    This term shows it both. It moves decoders only: no gradient reaches the encoders, which would otherwise lose
    what differs within a class. Nothing where no label is known in two modalities.

    Parameters
    ----------
    weight
        Multiplies the term; unit: nats per feature.
    warmup
        Share of the epochs over which the weight rises from 0.
    """

    name: ClassVar[str] = "matched_reconstruction"
    trains_shared_decoders: ClassVar[bool] = True
    is_of_encoders: ClassVar[bool] = True

    def build(self, dimensions: Dimensions) -> nn.Module:
        """Build nothing; make sure that there are labels."""
        if not dimensions.n_classes:
            raise ValueError(
                "MatchedReconstruction needs labels; register them with setup_mudata(..., labels_key=...)."
            )
        return nn.Module()

    def terms(self, outputs: "Outputs", network: nn.Module) -> dict[str, Float[Tensor, ""]]:
        """Give the loss per source and target."""
        losses = {}
        for source in outputs.batch.observed:
            for target in outputs.batch.observed:
                in_source, in_target = _same_class(outputs, source, target)
                if source != target and len(in_source):
                    latent = outputs.foreign_latent(source, target, in_source).detach()
                    losses[f"{source}_to_{target}"] = -outputs.score(target, "shared", latent, in_target).mean()
        return losses


def _same_class(outputs: "Outputs", source: str, target: str) -> tuple[Int[Tensor, " rows"], Int[Tensor, " rows"]]:
    """For each labelled row of the target, in order, a random row of the source with its label, where there is one."""
    labels = outputs.batch.labels
    of_source, of_target = (labels[outputs.batch.observed[m].cells] for m in (source, target))
    agrees = (of_target[:, None] == of_source[None, :]) & (of_target >= 0)[:, None]
    has_match = torch.nonzero(agrees.any(1)).flatten()
    if not len(has_match):
        return has_match, has_match
    return torch.multinomial(agrees[has_match].float(), 1).flatten(), has_match
