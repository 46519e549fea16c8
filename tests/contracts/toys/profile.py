"""A toy modality that no engine file knows: several channels over time, kept in ``.obsm``."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from torch import Tensor, nn

from cellprism.data import DenseRows, Rows
from cellprism.modalities import Architecture, Coder, Covariates, Modality
from cellprism.nn import MLP, Gaussian, Likelihood, NamedModules


@dataclass(frozen=True)
class Profile(Modality):
    """Traces of several channels (channels x times) in ``.obsm[key]``; the channels are the features."""

    key: str = "profile"

    def feature_names(self, adata: AnnData) -> list[str]:
        return [f"channel {i}" for i in range(adata.obsm[self.key].shape[1])]

    def shape(self, adata: AnnData) -> tuple[int, ...]:
        return tuple(adata.obsm[self.key].shape[1:])

    def read(self, adata: AnnData, accessor: str, order: np.ndarray | None) -> Rows:
        values = np.asarray(adata.obsm[self.key])
        if not np.isfinite(values).all():
            raise ValueError(f"{accessor}.obsm[{self.key!r}] has NaN or infinite values; expected finite numbers.")
        return DenseRows.from_numpy(values if order is None else values[:, order])

    def coder(
        self, shape: tuple[int, ...], widths: dict[str, int], n_batches: int, architecture: Architecture
    ) -> "ProfileCoder":
        return ProfileCoder(shape, widths, n_batches, architecture)

    def new_anndata(self, values: np.ndarray, obs: pd.DataFrame, state: dict[str, Any]) -> AnnData:
        return AnnData(obs=obs, obsm={self.key: values})

    def own_slot(self, key: str) -> str:
        return f"obsm/{self.key}_{key}"

    def foreign_slot(self, key: str) -> str:
        return f"obsm/{key}"

    def write_own(self, adata: AnnData, key: str, values: np.ndarray, state: dict[str, Any]) -> str:
        adata.obsm[f"{self.key}_{key}"] = values
        return self.own_slot(key)

    def write_foreign(self, adata: AnnData, key: str, values: np.ndarray, state: dict[str, Any]) -> str:
        adata.obsm[key] = values
        return self.foreign_slot(key)


class ProfileCoder(Coder):
    """Fully connected networks over flattened profiles."""

    def __init__(
        self, shape: tuple[int, ...], widths: dict[str, int], n_batches: int, architecture: Architecture
    ) -> None:
        super().__init__()
        self.shape = shape
        self.n_features = int(np.prod(shape))
        self.n_hidden = architecture.n_hidden
        self.register_buffer("location", torch.zeros(self.n_features))
        self.log_scale = nn.Parameter(torch.zeros(self.n_features))
        self.encoder = MLP(self.n_features + n_batches, self.n_hidden, architecture.n_layers, 0.0)
        self.decoders = NamedModules({p: nn.Linear(w + n_batches, self.n_features) for p, w in widths.items()})

    def fit_statistics(self, rows: Rows) -> None:
        self.location.copy_(rows.dense().flatten(1).mean(0))

    def encode(self, rows: Rows, batches: Tensor) -> Tensor:
        return self.encoder(torch.cat([rows.dense().flatten(1) - self.location, batches], dim=1))

    def depth(self, rows: Rows) -> Tensor:
        return torch.ones(len(rows), device=rows.device)

    def decode(self, path: str, latent: Tensor, covariates: Covariates) -> Likelihood:
        decoded = self.decoders[path](torch.cat([latent, covariates.batches], dim=1))
        return ShapedGaussian(
            decoded, self.log_scale, self.location, torch.ones_like(self.location), shape=tuple(self.shape)
        )

    def log_likelihood(self, likelihood: Likelihood, rows: Rows) -> Tensor:
        return likelihood.log_prob(rows.dense().flatten(1))


@dataclass(frozen=True)
class ShapedGaussian(Gaussian):
    """Normal values whose mean has the shape of a profile."""

    shape: tuple[int, ...] = ()

    @property
    def mean(self) -> Tensor:
        return super().mean.unflatten(1, self.shape)
