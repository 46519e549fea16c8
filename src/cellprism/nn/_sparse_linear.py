"""A linear layer over sparse rows: only the non-zeros touch the weights."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F


class SparseLinear(nn.Module):
    r"""Affine map of sparse or dense rows.

    .. math:: y = x W + b

    Parameters
    ----------
    n_features
        Width of the input.
    n_outputs
        Width of the output.
    """

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(n_features)
        self.weight = nn.Parameter(torch.empty(n_features, n_outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(n_outputs))

    def forward(self, dense: Float[Tensor, "rows features"]) -> Float[Tensor, "rows outputs"]:
        """Map dense rows."""
        return dense @ self.weight + self.bias

    def sparse(
        self,
        offsets: Int[Tensor, " rows_plus_one"],
        indices: Int[Tensor, " stored"],
        values: Float[Tensor, " stored"],
    ) -> Float[Tensor, "rows outputs"]:
        """Map CSR rows, without spreading them into a dense tensor."""
        summed = F.embedding_bag(
            indices, self.weight, offsets, mode="sum", per_sample_weights=values, include_last_offset=True
        )
        return summed + self.bias
