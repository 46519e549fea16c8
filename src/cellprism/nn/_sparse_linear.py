"""A linear layer over sparse rows: only the non-zeros touch the weights."""

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F


class SparseLinear(nn.Module):
    r"""Affine map of sparse or dense rows from their centre.

    .. math:: y = (x - c) W + b

    Parameters
    ----------
    n_features
        Width of the input.
    n_outputs
        Width of the output.

    Attributes
    ----------
    center
        :math:`c`, zero until it is set.
    """

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(n_features)
        self.weight = nn.Parameter(torch.empty(n_features, n_outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(n_outputs))
        self.register_buffer("center", torch.zeros(n_features))

    def forward(self, dense: Float[Tensor, "rows features"]) -> Float[Tensor, "rows outputs"]:
        """Map dense rows."""
        return (dense - self.center) @ self.weight + self.bias

    def sparse(
        self,
        indices: Int[Tensor, " stored"],
        rows: Int[Tensor, " stored"],
        offsets: Int[Tensor, " rows_plus_one"],
        values: Float[Tensor, " stored"],
    ) -> Float[Tensor, "rows outputs"]:
        """Map CSR rows, without spreading them into a dense tensor.

        Parameters
        ----------
        indices, rows
            Feature and row of each stored value.
        offsets
            Where each row begins.
        values
            Stored values, which get no gradient.
        """
        # the centre is one more row, which is taken from all others
        center = torch.arange(len(self.center), dtype=indices.dtype, device=indices.device)
        products = _SparseProduct.apply(
            self.weight,
            torch.cat([indices, center]),
            torch.cat([rows, torch.full_like(center, len(offsets) - 1)]),
            torch.cat([offsets, offsets[-1:] + len(center)]).to(indices.dtype),
            torch.cat([values, self.center]),
        )
        return products[:-1] - products[-1] + self.bias


class _SparseProduct(torch.autograd.Function):
    """Rows times weights, as weighted sums of weights by row; the gradient is such sums by feature."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, indices: Tensor, rows: Tensor, offsets: Tensor, values: Tensor) -> Tensor:
        ctx.save_for_backward(indices, rows, values)
        ctx.n_features = len(weight)
        return _weighted_sums(weight, indices, offsets, values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        indices, rows, values = ctx.saved_tensors
        by_feature = torch.argsort(indices.int(), stable=True)
        n_stored = torch.bincount(indices, minlength=ctx.n_features)
        offsets = torch.cat([n_stored.new_zeros(1), n_stored.cumsum(0)])
        parts = (part.index_select(0, by_feature) for part in (rows, values))
        return _weighted_sums(gradient.contiguous(), next(parts), offsets, next(parts)), None, None, None, None


def _weighted_sums(table: Tensor, indices: Tensor, offsets: Tensor, values: Tensor) -> Tensor:
    """Add up the table's rows at each stretch of indices, times their values."""
    return F.embedding_bag(indices, table, offsets, mode="sum", per_sample_weights=values, include_last_offset=True)
