"""What a negative binomial asks of all features at once, with gradients that pass over them once."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cellprism.nn._shares import Shares, exponentials

Stored = Float[Tensor, " stored"]


def ratios_to_dispersion(
    expected: Shares,
    log_inverse_dispersion: Float[Tensor, " features"],
    rows: Int[Tensor, " stored"],
    columns: Int[Tensor, " stored"],
) -> tuple[Float[Tensor, " rows"], Stored]:
    r"""Log-likelihood of rows without any count, and the ratio of mean to dispersion at some places.

    .. math:: -\sum_j \theta_j \log(1 + r_{ij}), \qquad \log r_{ij} = \log(\mu_{ij} / \theta_j)

    Parameters
    ----------
    expected
        :math:`\mu`.
    log_inverse_dispersion
        :math:`\log \theta`.
    rows, columns
        The places, none named twice.

    Returns
    -------
    The sum of each row, and :math:`\log r` at the places.
    """
    return _Ratios.apply(expected.logits, expected.depth, log_inverse_dispersion, rows, columns)


class _Ratios(torch.autograd.Function):
    """Gradients of log r everywhere, corrected at the places, lead to those of all else."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, depth: Tensor, log_theta: Tensor, rows: Tensor, columns: Tensor
    ) -> tuple[Tensor, Tensor]:
        places = rows * logits.shape[1] + columns
        odds, total, at_places = exponentials(logits, places)
        means = odds.mul_((depth / total)[:, None])
        ratios = means * (-log_theta).exp()
        costs = torch.log1p(ratios)
        ctx.save_for_backward(means, ratios, costs, depth, log_theta, places)
        log_ratios = at_places + (depth / total).log().index_select(0, rows) - log_theta.index_select(0, columns)
        return -(costs @ log_theta.exp()), log_ratios

    @staticmethod
    def backward(ctx: Any, of_zeros: Tensor, of_places: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        means, ratios, costs, depth, log_theta, places = ctx.saved_tensors
        of_ratios = (ratios + 1).reciprocal_().mul_(means).mul_(-of_zeros[:, None])
        of_ratios.view(-1).index_add_(0, places, of_places)
        of_theta = -of_ratios.sum(0) - log_theta.exp() * (of_zeros @ costs)
        sums = of_ratios.sum(1)
        of_logits = of_ratios.addcmul_(means, -(sums / depth)[:, None])
        return of_logits, sums / depth, of_theta, None, None
