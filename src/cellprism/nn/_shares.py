"""Expected counts as shares of a depth, with gradients that pass once over the features."""

from dataclasses import dataclass
from typing import Any, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

Values = Float[Tensor, "rows features"]
Stored = Float[Tensor, " stored"]


@dataclass(frozen=True)
class Shares:
    r"""Expected counts of each row, which add up to its depth.

    .. math:: \mu_{ij} = \ell_i \, \frac{e^{a_{ij}}}{\sum_k e^{a_{ik}}}

    Parameters
    ----------
    logits
        :math:`a`.
    depth
        :math:`\ell`, above 0.
    """

    logits: Values
    depth: Float[Tensor, " rows"]

    @classmethod
    def of_log_rate(cls, log_rate: Values) -> Self:
        """Take logarithms of expected counts."""
        return cls(log_rate, log_rate.exp().sum(1))

    @property
    def rate(self) -> Values:
        """Expected counts."""
        return torch.softmax(self.logits, dim=1) * self.depth[:, None]

    @property
    def log_rate(self) -> Values:
        """Their logarithms."""
        return torch.log_softmax(self.logits, dim=1) + self.depth.log()[:, None]

    def log_rate_at(self, rows: Int[Tensor, " stored"], columns: Int[Tensor, " stored"]) -> Stored:
        """Logarithms of the expected counts at some places, none named twice."""
        return _LogShares.apply(self.logits, rows, columns) + self.depth.log()[rows]


class _LogShares(torch.autograd.Function):
    """Log-softmax at some places: one dense pass forward, and one backward."""

    @staticmethod
    def forward(ctx: Any, logits: Values, rows: Int[Tensor, " stored"], columns: Int[Tensor, " stored"]) -> Stored:
        shares = torch.softmax(logits, dim=1)
        highest, where = logits.max(dim=1, keepdim=True)
        log_total = (highest - shares.gather(1, where).log())[:, 0]
        places = rows * logits.shape[1] + columns
        ctx.save_for_backward(shares, rows, places)
        return logits.flatten()[places] - log_total[rows]

    @staticmethod
    def backward(ctx: Any, gradient: Stored) -> tuple[Values, None, None]:  # type: ignore[override]
        shares, rows, places = ctx.saved_tensors
        total = shares.new_zeros(len(shares)).index_add_(0, rows, gradient)
        of_logits = shares * -total[:, None]
        of_logits.view(-1).index_add_(0, places, gradient)
        return of_logits, None, None
