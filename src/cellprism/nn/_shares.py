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
        return _LogShares.apply(self.logits, rows, columns) + self.depth.log().index_select(0, rows)


class _LogShares(torch.autograd.Function):
    """Log-softmax at some places: one dense pass forward, and one backward."""

    @staticmethod
    def forward(ctx: Any, logits: Values, rows: Int[Tensor, " stored"], columns: Int[Tensor, " stored"]) -> Stored:
        places = rows * logits.shape[1] + columns
        odds, total, at_places = exponentials(logits, places)
        ctx.save_for_backward(odds, total, rows, places)
        return at_places - total.log().index_select(0, rows)

    @staticmethod
    def backward(ctx: Any, gradient: Stored) -> tuple[Values, None, None]:  # type: ignore[override]
        odds, total, rows, places = ctx.saved_tensors
        sums = torch.zeros_like(total).index_add_(0, rows, gradient)
        of_logits = odds * -(sums / total)[:, None]
        of_logits.view(-1).index_add_(0, places, gradient)
        return of_logits, None, None


def exponentials(
    logits: Values, places: Int[Tensor, " stored"]
) -> tuple[Values, Float[Tensor, " rows"], Float[Tensor, " stored"]]:
    """Exponentials of what each row lacks to its largest value, their sum, and at some places what they are of."""
    lacking = logits - logits.amax(1, keepdim=True)
    at_places = lacking.flatten().index_select(0, places)
    odds = lacking.exp_()
    return odds, odds.sum(1), at_places
