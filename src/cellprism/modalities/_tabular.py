"""Measurements that are a table of cells x features."""

from abc import abstractmethod
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from jaxtyping import Float
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.utils.sparsefuncs import mean_variance_axis
from torch import Tensor, nn

from cellprism.data import DenseRows, Matrix, Rows, SparseRows, map_stored, read_matrix, slot_path
from cellprism.modalities._base import Architecture, Coder, Covariates, Modality
from cellprism.nn import MLP, Likelihood, NamedModules, OutputLinear, SparseLinear, activation


class Tabular(Modality):
    """A kind of measurement that lies in ``.X`` or a layer."""

    layer: str | None

    @property
    def slots(self) -> tuple[str, ...]:
        """The matrix."""
        return ("X" if self.layer is None else f"layers/{self.layer}",)

    def feature_names(self, adata: AnnData) -> list[str]:
        """Give the names of the variables."""
        return adata.var_names.astype(str).tolist()

    def shape(self, adata: AnnData) -> tuple[int, ...]:
        """Give the number of variables."""
        return (adata.n_vars,)

    def read(self, adata: AnnData, accessor: str, order: np.ndarray | None) -> Rows:
        """Read the matrix into memory; sparse stays sparse.

        Raises
        ------
        KeyError
            If the layer is missing.
        ValueError
            If the values are not of this kind; the message names the slot and what was found.
        """
        matrix = read_matrix(adata, self.layer, accessor)
        matrix = matrix if order is None else matrix[:, order]
        self.check(matrix, slot_path(accessor, self.layer))
        return SparseRows.from_scipy(matrix) if sparse.issparse(matrix) else DenseRows.from_numpy(np.float32(matrix))

    @abstractmethod
    def check(self, matrix: Matrix, path: str) -> None:
        """Refuse values that are not of this kind."""

    def new_anndata(self, values: np.ndarray, obs: pd.DataFrame, state: dict[str, Any]) -> AnnData:
        """Put predicted values into ``.X``."""
        return AnnData(values, obs=obs, var=pd.DataFrame(index=pd.Index(state["features"])))

    def write_own(self, adata: AnnData, key: str, values: np.ndarray, state: dict[str, Any]) -> str:
        """Write a layer, in the order of this AnnData's variables; NaN for variables the model does not know."""
        columns = pd.Index(state["features"]).get_indexer(pd.Index(self.feature_names(adata)))
        adata.layers[key] = np.where(columns >= 0, values[:, columns], np.float32(np.nan))
        return self.own_slot(key)

    def write_foreign(self, adata: AnnData, key: str, values: np.ndarray, state: dict[str, Any]) -> str:
        """Write a DataFrame with the modality's variable names into ``.obsm``."""
        adata.obsm[key] = pd.DataFrame(values, index=adata.obs_names, columns=state["features"])
        return self.foreign_slot(key)


class TabularCoder(Coder):
    """Fully connected encoder and decoders around a transformation and a likelihood that the kind defines.

    Parameters
    ----------
    n_features
        Number of columns.
    widths
        Width of the latent that each decoder reads.
    n_batches
        Number of experimental batches.
    architecture
        Sizes.
    n_outputs
        Values that the decoder gives per feature.

    Attributes
    ----------
    baseline
        What decoders give where their networks give nothing; follows from the training cells.
    """

    def __init__(
        self,
        n_features: int,
        widths: dict[str, int],
        n_batches: int,
        architecture: Architecture,
        *,
        n_outputs: int = 1,
    ) -> None:
        super().__init__()
        hidden, dropout = architecture.n_hidden, architecture.dropout_rate
        self.n_features = n_features
        self.n_hidden = hidden
        # hiding half of fifteen proteins loses what half of a thousand genes tells twice
        self.input_dropout_rate = architecture.input_dropout_rate * min(1.0, n_features / 1000)
        self.first = SparseLinear(n_features, hidden)
        self.register_buffer("baseline", torch.zeros(n_outputs * n_features))
        self.batch_effect = nn.Linear(n_batches, hidden, bias=False)
        self.rest = nn.Sequential(activation(hidden, dropout), MLP(hidden, hidden, architecture.n_layers - 1, dropout))
        self.decoders = NamedModules(
            {
                path: nn.ModuleList(
                    [
                        MLP(width + n_batches, hidden, architecture.n_layers, 0.0),
                        OutputLinear(hidden, n_outputs * n_features),
                    ]
                )
                for path, width in widths.items()
            }
        )

    def fit_statistics(self, rows: Rows) -> None:
        """Take the kind's own statistics, then the mean of what the encoder reads; start the encoder from it."""
        self.fit_kind(rows)
        inputs = self.transform(rows)
        self.first.center.copy_(inputs.column_sums() / len(rows))
        self.first.weight.data.copy_(component_weights(inputs, self.n_hidden).to(self.first.weight.device))

    @abstractmethod
    def fit_kind(self, rows: Rows) -> None:
        """Take what the kind's transformation and likelihood need from the training cells."""

    @abstractmethod
    def transform(self, rows: Rows) -> Rows:
        """Prepare raw rows for the encoder."""

    @abstractmethod
    def likelihood(self, outputs: Float[Tensor, "rows outputs"], depth: Float[Tensor, " rows"]) -> Likelihood:
        """Read the decoder's outputs as a distribution."""

    def profile(self, rows: Rows) -> Float[Tensor, "rows values"]:
        """Give what the encoder reads, as a dense table."""
        return self.transform(rows).dense()

    def encode(self, rows: Rows, batches: Float[Tensor, "rows batches"]) -> Float[Tensor, "rows hidden"]:
        """Transform, centre and encode; in training some measured values are hidden."""
        inputs = self._hide(self.transform(rows))
        if isinstance(inputs, SparseRows):
            pattern = inputs.pattern
            hidden = self.first.sparse(pattern.indices, pattern.rows, pattern.offsets, inputs.values)
        else:
            hidden = self.first(inputs.values)
        return self.rest(hidden + self.batch_effect(batches))

    def _hide(self, inputs: Rows) -> Rows:
        """Leave out a share of the values; what is left counts the more."""
        rate = self.input_dropout_rate
        if not (self.training and rate):
            return inputs
        return map_stored(inputs.keep(torch.rand_like(inputs.values) >= rate), lambda values: values / (1 - rate))

    def depth(self, rows: Rows) -> Float[Tensor, " rows"]:
        """Give 1: most tables know no depth."""
        return torch.ones(len(rows), device=rows.device)

    def decode(self, path: str, latent: Float[Tensor, "rows width"], covariates: Covariates) -> Likelihood:
        """Decode by the decoder of that name."""
        hidden, last = self.decoders[path]
        outputs = last(hidden(torch.cat([latent, covariates.batches], dim=1)), self.baseline)
        return self.likelihood(outputs, covariates.depth)

    def scored(self, rows: Rows) -> Rows:
        """Give the values that the likelihood scores: the raw ones."""
        return rows

    def measured(self, rows: Rows) -> Float[Tensor, "rows features"]:
        """Give what the likelihood scores."""
        return self.scored(rows).dense()

    def log_likelihood(self, likelihood: Likelihood, rows: Rows) -> Float[Tensor, " rows"]:
        """Score rows; unit: nats per cell. Sparse rows are scored by their non-zeros."""
        scored = self.scored(rows)
        if isinstance(scored, SparseRows):
            return likelihood.sparse_log_prob(scored.pattern.rows, scored.pattern.indices, scored.values)
        return likelihood.log_prob(scored.values)


def component_weights(
    inputs: Rows, n_hidden: int, *, n_components: int = 30, n_rows: int = 20_000
) -> Float[Tensor, "features hidden"]:
    r"""First weights of an encoder: random mixtures of the principal components of what it reads.

    .. math:: W = V \, \mathrm{diag}(\sigma^{-1/2}) \, G, \qquad G_{ij} \sim N(0, 1 / k)

    with :math:`V` the directions of the first *k* components and :math:`\sigma` their standard deviations. Among
    thousands of noisy features a random start spends the training on finding these directions, or on overfitting
    others.

    Parameters
    ----------
    inputs
        Transformed training rows.
    n_hidden
        Number of mixtures.
    n_components
        Number of components, fewer where there are fewer cells or features.
    n_rows
        At most so many rows, evenly spaced, are looked at.
    """
    spaced = torch.linspace(0, len(inputs) - 1, min(len(inputs), n_rows)).long().to(inputs.device)
    chosen = inputs if len(spaced) == len(inputs) else inputs.take(spaced)
    matrix = chosen.to("cpu").to_scipy() if isinstance(chosen, SparseRows) else chosen.values.cpu().numpy()
    n_components = min(n_components, *(side - 1 for side in matrix.shape))
    if n_components < 1 or not _varies(matrix):
        return torch.randn(matrix.shape[1], n_hidden) / matrix.shape[1] ** 0.5
    components = PCA(n_components, svd_solver="arpack", tol=0.1, random_state=0).fit(matrix)
    spread = np.sqrt(components.explained_variance_)
    # directions in which training cells do not differ must not be blown up
    spread = spread.clip(min=0.01 * spread.max())
    directions = torch.from_numpy((components.components_ / np.sqrt(spread)[:, None]).astype(np.float32))
    return directions.T @ (torch.randn(n_components, n_hidden) / n_components**0.5)


def _varies(matrix: Matrix) -> bool:
    """Whether any row differs from the others, which a decomposition needs."""
    if sparse.issparse(matrix):
        variance = mean_variance_axis(matrix, axis=0)[1]
        return bool(variance.max() > (1e-6 * abs(matrix.data).max(initial=0.0)) ** 2)
    return bool(np.ptp(matrix, axis=0).max() > 1e-6 * np.abs(matrix).max())


def depth_of_rows(rows: Rows) -> Float[Tensor, " rows"]:
    """Sum of each row, at least 1, so that a cell without counts divides nothing by zero."""
    return rows.sums().clamp(min=1)
