"""What it costs a cell to have a code."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cellprism.objectives._base import Objective

if TYPE_CHECKING:
    from cellprism.latents import Posterior
    from cellprism.module import Outputs


@dataclass(frozen=True, kw_only=True)
class CodePrior(Objective):
    r"""Information that codes hold, at a price that rises with the number of modalities that see a block.

    .. math:: \frac{1}{\bar p} \sum_b \pi_b \frac{1}{n} \sum_{i} KL(q(z_{b,i}) \,\|\, N(0, I)), \qquad
              \pi_b = 1 + s (|M_b| - 1)

    with :math:`M_b` the modalities that see block *b*, each cell counted once where it was measured in any of them,
    and :math:`\bar p` the mean number of features, by which :class:`Reconstruction` with ``balance=0`` is divided as
    well: with weight 1 and no surcharge, the two are the evidence lower bound.

    The prices decide where information goes: what two modalities need is cheaper once in a shared block than twice
    in private ones (:math:`\pi_S < 2 \pi_m`), and what one modality needs is cheaper in its own
    (:math:`\pi_m < \pi_S`). Dimensions that do not pay for themselves come to rest at the prior. Zero where every
    code is the prior.

    Parameters
    ----------
    weight
        Multiplies the term.
    warmup
        Share of the epochs over which the weight rises from 0.
    surcharge
        *s*, between 0 (all blocks cost the same) and 1 (a shared block costs as much as copies in private ones).

    Raises
    ------
    ValueError
        If ``surcharge`` is out of range.
    """

    surcharge: float = 0.25

    name: ClassVar[str] = "code_prior"

    def __post_init__(self) -> None:
        if not 0 <= self.surcharge <= 1:
            raise ValueError(f"CodePrior has surcharge {self.surcharge}; expected a number from 0 to 1.")

    @property
    def is_per_cell(self) -> bool:
        """Each code is judged alone."""
        return True

    def price(self, n_modalities: int) -> float:
        """Cost of a nat in a block that so many modalities see; 1 for one."""
        return 1 + self.surcharge * (n_modalities - 1)

    def terms(self, outputs: "Outputs", network: nn.Module) -> dict[str, Float[Tensor, ""]]:
        """Give the cost per block."""
        losses = {}
        for block in outputs.layout.names:
            if outputs.modalities_of(block):
                divergence, is_known = of_cells(outputs, block, lambda posterior: posterior.divergence_from_prior())
                price = self.price(len(outputs.layout[block].modalities)) / outputs.n_features_mean
                losses[block] = price * (divergence * is_known).mean()
        return losses


def of_cells(
    outputs: "Outputs", block: str, quantity: Callable[["Posterior"], Float[Tensor, " rows"]]
) -> tuple[Float[Tensor, " cells"], Float[Tensor, " cells"]]:
    """A quantity of a block's posterior for each cell of the batch, and 1 where any modality saw the block, else 0."""
    value = torch.zeros(outputs.batch.n_cells, device=outputs.batch.cells.device)
    is_known = torch.zeros_like(value)
    for modality in outputs.modalities_of(block):
        cells = outputs.batch.observed[modality].cells
        value = value.index_copy(0, cells, quantity(outputs.posteriors[modality, block]))
        is_known = is_known.index_fill(0, cells, 1.0)
    return value, is_known
