"""Continuous or binary features: methylation, image features, components of anything."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from cellprism.data import Matrix, Rows, scale_columns, stored_values
from cellprism.modalities._base import Architecture
from cellprism.modalities._tabular import Tabular, TabularCoder
from cellprism.nn import Bernoulli, Gaussian, Likelihood


@dataclass(frozen=True)
class Features(Tabular):
    """Continuous features (normal residuals), or features that are 0 or 1.

    The encoder reads standardised features, by mean and standard deviation of the training cells; both are kept
    in the model. Features that are 0 or 1 are standardised as well.

    Parameters
    ----------
    layer
        Layer that holds the features; ``.X`` by default.
    likelihood
        ``"gaussian"`` (one residual variance per feature, which is learnt), ``"squared_error"`` (residuals as large
        as the spread of the feature, so that squared errors of all standardised features weigh alike) or
        ``"bernoulli"`` for values in {0, 1}.

    Raises
    ------
    ValueError
        On NaN or infinite values, or values other than 0 and 1 with ``"bernoulli"``.
    """

    layer: str | None = None
    likelihood: Literal["gaussian", "squared_error", "bernoulli"] = "gaussian"

    def __post_init__(self) -> None:
        if self.likelihood not in ("gaussian", "squared_error", "bernoulli"):
            raise ValueError(
                f"Features has likelihood {self.likelihood!r}; expected 'gaussian', 'squared_error' or 'bernoulli'."
            )

    def check(self, matrix: Matrix, path: str) -> None:
        """Refuse values other than 0 and 1 where those are expected."""
        values = stored_values(matrix)
        if self.likelihood == "bernoulli" and not np.isin(values, (0, 1)).all():
            raise ValueError(
                f"{path} has values other than 0 and 1 (from {values.min():.3g} to {values.max():.3g}); "
                "Features(likelihood='bernoulli') needs 0 and 1. Use likelihood='gaussian'."
            )

    def coder(
        self, shape: tuple[int, ...], widths: dict[str, int], n_batches: int, architecture: Architecture
    ) -> "FeaturesCoder":
        """Build the networks."""
        return FeaturesCoder(self.likelihood, shape[0], widths, n_batches, architecture)


class FeaturesCoder(TabularCoder):
    """Networks for :class:`Features`."""

    def __init__(
        self,
        likelihood: str,
        n_features: int,
        widths: dict[str, int],
        n_batches: int,
        architecture: Architecture,
    ) -> None:
        super().__init__(n_features, widths, n_batches, architecture)
        self.is_binary = likelihood == "bernoulli"
        self.register_buffer("location", torch.zeros(n_features))
        self.register_buffer("unit", torch.ones(n_features))
        self.log_scale = nn.Parameter(torch.zeros(n_features), requires_grad=likelihood == "gaussian")

    def fit_kind(self, rows: Rows) -> None:
        """Keep mean and standard deviation of each feature; 1 for a feature that is constant."""
        mean = rows.column_sums() / len(rows)
        variance = (rows.dense().double() - mean).square().mean(0).float()
        self.location.copy_(mean)
        self.unit.copy_(torch.where(variance > 1e-12 * (1 + mean**2), variance.sqrt(), 1.0))
        if self.is_binary:
            self.baseline.copy_(torch.logit(mean.clamp(0.01, 0.99)))

    def transform(self, rows: Rows) -> Rows:
        """Scale by the standard deviation; the encoder centres."""
        return scale_columns(rows, 1 / self.unit)

    def likelihood(self, outputs: Float[Tensor, "rows outputs"], depth: Float[Tensor, " rows"]) -> Likelihood:
        """Normal around the decoded mean, or probabilities of one."""
        if self.is_binary:
            return Bernoulli(outputs)
        return Gaussian(outputs, self.log_scale.clamp(min=-4), self.location, self.unit)
