"""The last linear map of a decoder."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class OutputLinear(nn.Linear):
    r"""Linear map onto all features, the widest of a decoder, around a baseline.

    .. math:: y = h W^\top + b + b_0

    In mixed precision the product is in half precision and the rest, like the result, in single precision.
    """

    def forward(self, hidden: Float[Tensor, "rows hidden"], baseline: Float[Tensor, " outputs"]) -> Tensor:  # type: ignore[override]
        """Map hidden layers, in one pass over the outputs."""
        return F.linear(hidden, self.weight).float().add_(self.bias + baseline)
