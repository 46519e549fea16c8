"""How deeply a cell would have been sampled, told by its latent."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ExpectedDepth(nn.Module):
    r"""Log-linear model of a depth, such as a library size.

    .. math:: \log \ell = a + z^\top w + b_{batch}

    Its numbers are fitted after training, by ridge regression, and kept in buffers: they shape no latent.

    Parameters
    ----------
    width
        Width of the latent.
    n_batches
        Number of experimental batches.
    """

    def __init__(self, width: int, n_batches: int) -> None:
        super().__init__()
        self.register_buffer("intercept", torch.zeros(()))
        self.register_buffer("slopes", torch.zeros(width + n_batches))
        self.register_buffer("log_range", torch.tensor([-torch.inf, torch.inf]))

    def set(self, intercept: float, slopes: Float[Tensor, " inputs"], low: float, high: float) -> None:
        """Keep a fitted model, and the range of log depths outside which it is not believed."""
        self.intercept.fill_(intercept)
        self.slopes.copy_(slopes)
        self.log_range.copy_(torch.tensor([low, high]))

    def forward(
        self, latent: Float[Tensor, "cells width"], batches: Float[Tensor, "cells batches"]
    ) -> Float[Tensor, " cells"]:
        """Give the expected depth."""
        log_depth = self.intercept + torch.cat([latent, batches], dim=1) @ self.slopes
        return log_depth.clamp(self.log_range[0], self.log_range[1]).exp()
