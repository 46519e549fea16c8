"""How far posteriors are from the prior."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from cellprism.objectives._base import Objective

if TYPE_CHECKING:
    from cellprism.module import Outputs


@dataclass(frozen=True, kw_only=True)
class KLDivergence(Objective):
    r"""Kullback-Leibler divergence of each posterior from the standard normal prior.

    .. math:: \sum_m \frac{1}{|m| \, p_m} \sum_{i \in m} \sum_{b} KL(q(z_{b,i} \mid x_i^{(m)}) \,\|\, N(0, I))

    over the blocks *b* of modality *m*, divided by its number of features as reconstruction is: with weight 1 the
    two together are the evidence lower bound. Blocks that several modalities see pay ``bottleneck`` per nat besides,
    whatever the number of features, against telling single cells apart :cite:p:`alemi2017`. Zero where every
    posterior is the prior.

    Parameters
    ----------
    weight
        Multiplies the term; 1 is the bound.
    warmup
        Share of ``max_epochs`` over which the weight rises from 0.
    bottleneck
        Further weight, per nat, on blocks that several modalities see.

    References
    ----------
    :cite:t:`kingma2014`; a small weight on a variational encoder as in :cite:t:`yang2021`.
    """

    warmup: float = 0.25
    bottleneck: float = 0.03

    name: ClassVar[str] = "kl"
    is_of_encoders: ClassVar[bool] = True

    @property
    def is_per_cell(self) -> bool:
        """Each posterior is judged alone."""
        return True

    def terms(self, outputs: "Outputs", network: nn.Module) -> dict[str, Float[Tensor, ""]]:
        """Give the divergence per modality and block."""
        return {
            f"{modality}_{block}": posterior.divergence_from_prior().mean() * self._price(outputs, modality, block)
            for (modality, block), posterior in outputs.posteriors.items()
        }

    def _price(self, outputs: "Outputs", modality: str, block: str) -> float:
        """Cost of a nat."""
        is_private = outputs.layout[block].is_private
        return 1 / outputs.n_features(modality) + (0.0 if is_private else self.bottleneck)
