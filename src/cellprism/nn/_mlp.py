"""Fully connected networks."""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn


class MLP(nn.Module):
    """Hidden layers of one width: linear, layer norm, GELU, dropout.

    Layer norm, unlike batch norm, treats each cell alone: one cell in a batch, or one cell of a modality, is
    no special case, and no statistics drift between training and use.

    Parameters
    ----------
    n_inputs
        Width of the input.
    n_hidden
        Width of each layer.
    n_layers
        Number of layers; none gives the identity.
    dropout_rate
        Share of hidden units dropped in training.
    """

    def __init__(self, n_inputs: int, n_hidden: int, n_layers: int, dropout_rate: float) -> None:
        super().__init__()
        widths = [n_inputs, *[n_hidden] * n_layers]
        self.layers = nn.Sequential(*(hidden_layer(before, after, dropout_rate) for before, after in pairwise(widths)))

    def forward(self, inputs: Float[Tensor, "rows inputs"]) -> Float[Tensor, "rows hidden"]:
        """Apply the layers."""
        return self.layers(inputs)


def hidden_layer(n_inputs: int, n_outputs: int, dropout_rate: float) -> nn.Sequential:
    """Linear map followed by :func:`activation`."""
    return nn.Sequential(nn.Linear(n_inputs, n_outputs), activation(n_outputs, dropout_rate))


def activation(width: int, dropout_rate: float) -> nn.Sequential:
    """Layer norm, GELU and dropout."""
    return nn.Sequential(nn.LayerNorm(width), nn.GELU(), nn.Dropout(dropout_rate))
