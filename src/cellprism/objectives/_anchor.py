"""Pull the two views of a paired cell together."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from cellprism._keys import SHARED
from cellprism.objectives._base import Dimensions, Objective

if TYPE_CHECKING:
    from cellprism.module import Outputs

Latent = Float[Tensor, "pairs width"]


@dataclass(frozen=True, kw_only=True)
class Anchor(Objective):
    r"""Pull the two views of a paired cell together.

    ``"l1"`` and ``"l2"`` compare latents,

    .. math:: \frac{1}{|P|} \sum_{i \in P} \lVert z_i^{(a)} - z_i^{(b)} \rVert

    with :math:`P` the cells of the batch measured in both modalities (``"l2"``: the squared norm); zero where the
    two views coincide. ``"contrastive"`` asks each cell to find its partner among the pairs of the batch by
    cosine similarity and a temperature :math:`\tau` :cite:p:`oord2018`,

    .. math:: -\frac{1}{2|P|} \sum_{i \in P} \log \frac{e^{s_{ii} / \tau}}{\sum_{j \in P} e^{s_{ij} / \tau}}
              + \log \frac{e^{s_{ii} / \tau}}{\sum_{j \in P} e^{s_{ji} / \tau}}

    Latents are draws from the posteriors, whose noise keeps the encoders from telling cells apart by what is not
    in the data. Candidates are the pairs of the same experimental batch: across batches, the batch alone would
    tell most of them apart, and the encoders would write it into the shared block. Nothing where no cell of the
    batch is paired.

    Parameters
    ----------
    weight
        Multiplies the term; unit: nats, or latent units.
    warmup
        Share of the epochs over which the weight rises from 0.
    distance
        ``"contrastive"``, ``"l1"`` or ``"l2"``.
    temperature
        Of ``"contrastive"``; ``None`` learns it, between 0.01 and 1.
    block
        Block to compare; both modalities must see it.

    References
    ----------
    Supervision term of :cite:t:`yang2021`.
    """

    weight: float = 10.0
    distance: Literal["contrastive", "l1", "l2"] = "contrastive"
    temperature: float | None = 0.3
    block: str = SHARED

    name: ClassVar[str] = "anchor"
    is_of_encoders: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.distance not in ("contrastive", "l1", "l2"):
            raise ValueError(f"Anchor has distance {self.distance!r}; expected 'contrastive', 'l1' or 'l2'.")

    def build(self, dimensions: Dimensions) -> nn.Module:
        """Build the temperature."""
        if len(dimensions.layout[self.block].modalities) < 2:
            raise ValueError(f"Anchor needs a block that two modalities see; {self.block!r} is seen by one.")
        return _Temperature(self.temperature)

    def terms(self, outputs: "Outputs", network: nn.Module) -> dict[str, Float[Tensor, ""]]:
        """Give the loss per pair of modalities."""
        losses = {}
        for first, second in outputs.modality_pairs(self.block):
            in_first, in_second = outputs.batch.pairs(first, second)
            if len(in_first):
                a = outputs.samples[first, self.block][in_first]
                b = outputs.samples[second, self.block][in_second]
                strata = outputs.batch.batch_codes[outputs.batch.observed[first].cells[in_first]]
                losses[f"{first}_{second}"] = self._distance(a, b, strata, network)
        return losses

    def _distance(
        self, first: Latent, second: Latent, strata: Int[Tensor, " pairs"], network: nn.Module
    ) -> Float[Tensor, ""]:
        if self.distance == "l1":
            return (first - second).abs().sum(1).mean()
        if self.distance == "l2":
            return (first - second).square().sum(1).mean()
        return contrastive(first, second, strata, network.log_temperature)


class _Temperature(nn.Module):
    """A temperature, fixed or learnt; a learnt one is kept between 0.01 and 1."""

    def __init__(self, fixed: float | None) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.tensor(math.log(fixed or 0.1)), requires_grad=fixed is None)

    @property
    def log_temperature(self) -> Float[Tensor, ""]:
        """Logarithm of the temperature."""
        return self.raw.clamp(math.log(0.01), 0.0)


def contrastive(
    first: Latent, second: Latent, strata: Int[Tensor, " pairs"], log_temperature: Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """Cross-entropy of finding the partner among the pairs of the same stratum, both ways averaged."""
    similarity = F.normalize(first, dim=1) @ F.normalize(second, dim=1).T
    logits = similarity * torch.exp(-log_temperature)
    logits = logits.masked_fill(strata[:, None] != strata[None, :], float("-inf"))
    partner = torch.arange(len(first), device=first.device)
    return (F.cross_entropy(logits, partner) + F.cross_entropy(logits.T, partner)) / 2
