"""Keep codes short."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from cellprism.objectives._base import Objective
from cellprism.objectives._code_prior import of_cells

if TYPE_CHECKING:
    from cellprism.module import Outputs


@dataclass(frozen=True, kw_only=True)
class NormPenalty(Objective):
    r"""Length of the codes.

    .. math:: \sum_b \frac{1}{d_b \, n} \sum_i \lVert z_{b,i} \rVert_2

    with :math:`d_b` the width of block *b*; each cell counted once. Zero where every code is zero.

    Parameters
    ----------
    weight
        Multiplies the term; .001 in the paper.
    warmup
        Share of the epochs over which the weight rises from 0.

    References
    ----------
    Penalty of :cite:t:`zhang2026`.
    """

    weight: float = 0.001

    name: ClassVar[str] = "norm"

    @property
    def is_per_cell(self) -> bool:
        """Each code is judged alone."""
        return True

    def terms(self, outputs: "Outputs", network: nn.Module) -> dict[str, Float[Tensor, ""]]:
        """Give the mean length per block."""
        losses = {}
        for block in outputs.layout.names:
            if outputs.modalities_of(block):
                length, is_known = of_cells(outputs, block, lambda posterior: posterior.mean.norm(dim=1))
                losses[block] = (length * is_known).mean() / outputs.layout[block].width
        return losses
