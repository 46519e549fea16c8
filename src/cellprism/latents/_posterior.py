"""What a model believes about the latent of each cell."""

from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Posterior:
    r"""Independent normal distributions with scale at most that of the standard normal prior.

    Parameters
    ----------
    mean
        Means, one row per cell.
    log_scale
        Logarithms of the standard deviations, at most 0.
    """

    mean: Float[Tensor, "rows width"]
    log_scale: Float[Tensor, "rows width"]

    @property
    def precision(self) -> Float[Tensor, "rows width"]:
        """Inverse variances, at least 1."""
        return torch.exp(-2 * self.log_scale)

    def sample(self) -> Float[Tensor, "rows width"]:
        """Draw one latent per cell; gradients pass through."""
        return self.mean + torch.randn_like(self.mean) * self.log_scale.exp()

    def divergence_from_prior(self) -> Float[Tensor, " rows"]:
        r"""Kullback-Leibler divergence from :math:`N(0, I)`, summed over dimensions; unit: nats."""
        variance = torch.exp(2 * self.log_scale)
        return 0.5 * (self.mean**2 + variance - 1 - 2 * self.log_scale).sum(1)

    def divergence_from(self, other: "Posterior") -> Float[Tensor, " rows"]:
        r"""Kullback-Leibler divergence :math:`KL(self \,\|\, other)`, summed over dimensions; unit: nats."""
        log_ratio = other.log_scale - self.log_scale
        squared = (torch.exp(2 * self.log_scale) + (self.mean - other.mean) ** 2) * other.precision
        return (log_ratio + 0.5 * (squared - 1)).sum(1)

    def take(self, rows: Int[Tensor, " taken"]) -> Self:
        """Gather rows."""
        return type(self)(self.mean[rows], self.log_scale[rows])

    def detach(self) -> Self:
        """Cut from the graph."""
        return type(self)(self.mean.detach(), self.log_scale.detach())


def product_of_experts(posteriors: list[Posterior], cells: list[Int[Tensor, " _"]], n_cells: int) -> Posterior:
    r"""Combine what several modalities say about each cell :cite:p:`hinton2002,wu2018`.

    .. math:: q(z) \propto N(0, I) \prod_m \frac{q_m(z)}{N(0, I)}

    so that precisions add, less the prior's share that each already holds. A cell that one modality describes
    keeps that modality's posterior; a cell that none describes has the prior.

    Parameters
    ----------
    posteriors
        One per modality.
    cells
        For each modality, the cell of every row.
    n_cells
        Number of cells.
    """
    width = posteriors[0].mean.shape[1]
    precision = posteriors[0].mean.new_ones(n_cells, width)
    weighted = posteriors[0].mean.new_zeros(n_cells, width)
    for posterior, rows in zip(posteriors, cells, strict=True):
        precision = precision.index_add(0, rows, posterior.precision - 1)
        weighted = weighted.index_add(0, rows, posterior.precision * posterior.mean)
    return Posterior(weighted / precision, -0.5 * precision.log())
