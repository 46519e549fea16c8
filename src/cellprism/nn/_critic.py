"""The network that tries to tell from a latent which modality it came from."""

from jaxtyping import Float
from torch import Tensor, nn


class CriticNetwork(nn.Module):
    """Scores of each modality for a latent, and for what the latent is conditioned on.

    Parameters
    ----------
    n_latent
        Width of the latent.
    n_conditions
        Width of the condition that is appended; 0 for none.
    n_modalities
        Number of scores.
    n_hidden
        Width of the two hidden layers.
    """

    def __init__(self, n_latent: int, n_conditions: int, n_modalities: int, n_hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_latent + n_conditions, n_hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(n_hidden, n_hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(n_hidden, n_modalities),
        )

    def forward(self, inputs: Float[Tensor, "rows inputs"]) -> Float[Tensor, "rows modalities"]:
        """Score each row."""
        return self.layers(inputs)
