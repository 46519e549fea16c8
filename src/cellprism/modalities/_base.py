"""What a kind of measurement must offer: how it is read, encoded, decoded, scored and written."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from anndata import AnnData
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from cellprism._record import Record
from cellprism.data import Rows, closest
from cellprism.nn import Likelihood, NamedModules


@dataclass(frozen=True)
class Architecture(Record):
    """Sizes of the networks.

    Parameters
    ----------
    n_hidden
        Width of hidden layers.
    n_layers
        Hidden layers of each encoder and decoder.
    dropout_rate
        Share of hidden units of the encoders dropped in training.
    input_dropout_rate
        Share of measured values hidden from the encoders in training.
    """

    n_hidden: int = 128
    n_layers: int = 1
    dropout_rate: float = 0.2
    input_dropout_rate: float = 0.5

    def __post_init__(self) -> None:
        for name in ("n_hidden", "n_layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at least 1.")
        for name in ("dropout_rate", "input_dropout_rate"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at least 0 and below 1.")


@dataclass(frozen=True)
class Covariates:
    """What a decoder is told of how a cell was measured, besides latents.

    Parameters
    ----------
    batches
        Experimental batches as one-hot columns; several columns may share a cell.
    depth
        How much was sampled of each cell; 1 where the kind knows no depth.
    identity
        What was measured of each cell where that differs from cell to cell, such as the stained protein; ``None``
        where it does not.
    """

    batches: Float[Tensor, "rows batches"]
    depth: Float[Tensor, " rows"]
    identity: Int[Tensor, " rows"] | None = None


class Coder(nn.Module, ABC):
    """The networks of one modality. They see only rows that were observed.

    Attributes
    ----------
    n_hidden
        Width of what :meth:`encode` returns.
    n_features
        Number of values in a cell's measurement, by which reconstruction losses are divided.
    decoders
        Networks from latents to outputs, by path.
    """

    n_hidden: int
    n_features: int
    decoders: NamedModules

    def decoding_parameters(self) -> Iterator[nn.Parameter]:
        """Give the weights that :meth:`decode` uses: those of the decoders, and the coder's own."""
        yield from self.decoders.parameters()
        yield from self.parameters(recurse=False)

    def profile(self, rows: Rows) -> Float[Tensor, "rows values"]:
        """Give each cell as a row of numbers on the scale on which differences count, for linear fits."""
        return rows.dense().flatten(1)

    def measured(self, rows: Rows) -> Shaped[Tensor, "rows *shape"]:
        """Give measurements on the scale of the mean of what :meth:`decode` returns."""
        return rows.dense()

    @abstractmethod
    def fit_statistics(self, rows: Rows) -> None:
        """Take what the input transformation needs from the training cells, and keep it in buffers."""

    @abstractmethod
    def encode(self, rows: Rows, batches: Float[Tensor, "rows batches"]) -> Float[Tensor, "rows hidden"]:
        """Turn raw rows into features, from which latents are inferred."""

    @abstractmethod
    def depth(self, rows: Rows) -> Float[Tensor, " rows"]:
        """How much was sampled of each cell, such as its library size; 1 where the kind knows no depth."""

    def identity(self, rows: Rows) -> Int[Tensor, " rows"] | None:
        """Code of what was measured of each cell; ``None``, where that does not differ, by default."""
        return None

    def covariates(self, rows: Rows, batches: Float[Tensor, "rows batches"]) -> Covariates:
        """Give what a decoder is told of rows that were observed."""
        return Covariates(batches, self.depth(rows), self.identity(rows))

    def augment(self, rows: Rows, draws: Float[Tensor, "rows draws"]) -> Rows:
        """Change rows in training as biology may; not at all by default.

        Parameters
        ----------
        rows
            As observed.
        draws
            Uniform random numbers, the same for all modalities of a cell.
        """
        return rows

    @abstractmethod
    def decode(self, path: str, latent: Float[Tensor, "rows width"], covariates: Covariates) -> Likelihood:
        """Distribution of the measurement, by the decoder of that name (``"full"`` or ``"shared"``)."""

    @abstractmethod
    def log_likelihood(self, likelihood: Likelihood, rows: Rows) -> Float[Tensor, " rows"]:
        """Score rows; unit: nats per cell."""


class Modality(Record, ABC):
    """One kind of measurement. Subclasses are frozen dataclasses with plain fields."""

    def completed(self, adata: AnnData, accessor: str) -> Self:
        """Fill in settings that follow from the data, before they are registered; none by default."""
        return self

    def check_layout(self, adata: AnnData, accessor: str, shape: tuple[int, ...] | None = None) -> None:
        """Refuse data that lie otherwise than this kind expects, or in another shape than a model knows.

        Parameters
        ----------
        adata
            Where the measurements lie.
        accessor
            Path of ``adata``, for messages.
        shape
            Shape of one cell's measurement that a model was trained on; ``None`` for data to train on.
        """

    def identity_names(self) -> tuple[str, ...]:
        """What can be stained, where that differs from cell to cell; nothing by default."""
        return ()

    def identity_code(self, name: str) -> int:
        """Code of what can be stained.

        Raises
        ------
        ValueError
            If there is no such identity, or the kind knows none.
        """
        names = self.identity_names()
        if name not in names:
            found = closest(name, list(names)) if names else "Identities are for Images(identity=...)."
            raise ValueError(f"identity is {name!r}, which this modality does not know. {found}")
        return names.index(name)

    @property
    def slots(self) -> tuple[str, ...] | None:
        """Slots that :meth:`read` takes rows from, such as ``"X"`` or ``"obsm/image"``.

        Of data in a file only these are read. ``None``, by default, stands for all.
        """
        return None

    @abstractmethod
    def feature_names(self, adata: AnnData) -> list[str]:
        """Names of the features, in the order in which rows hold them."""

    @abstractmethod
    def shape(self, adata: AnnData) -> tuple[int, ...]:
        """Shape of one cell's measurement."""

    @abstractmethod
    def read(self, adata: AnnData, accessor: str, order: np.ndarray | None) -> Rows:
        """Check and copy the measurements, features in the order given.

        Of data in a file, ``adata`` holds some cells at a time: what each cell must be is checked here, what cells
        must be together in :meth:`check_together`.
        """

    def check_together(self, rows: Rows, accessor: str) -> None:
        """Refuse rows of many cells of which nothing can be learnt; none by default."""

    @abstractmethod
    def coder(
        self, shape: tuple[int, ...], widths: dict[str, int], n_batches: int, architecture: Architecture
    ) -> Coder:
        """Build the networks.

        Parameters
        ----------
        shape
            Shape of one cell's measurement.
        widths
            Width of the latent that each decoder reads, by the decoder's name.
        n_batches
            Number of experimental batches, given to encoder and decoder as one-hot columns.
        architecture
            Sizes.
        """

    @abstractmethod
    def new_anndata(self, values: np.ndarray, obs: pd.DataFrame, state: dict[str, Any]) -> AnnData:
        """Put predicted values, cells x shape, into an AnnData of their own."""

    @property
    def predicted_slot(self) -> str:
        """Slot that :meth:`new_anndata` fills."""
        return "X"

    def own_slot(self, key: str) -> str:
        """Slot that :meth:`write_own` fills in an AnnData that holds this modality."""
        return f"layers/{key}"

    def foreign_slot(self, key: str) -> str:
        """Slot that :meth:`write_foreign` fills in an AnnData that holds another modality."""
        return f"obsm/{key}"

    @abstractmethod
    def write_own(self, adata: AnnData, key: str, values: np.ndarray, state: dict[str, Any]) -> str:
        """Write predicted values into an AnnData that holds this modality; return :meth:`own_slot`."""

    @abstractmethod
    def write_foreign(self, adata: AnnData, key: str, values: np.ndarray, state: dict[str, Any]) -> str:
        """Write predicted values into an AnnData that holds another modality; return :meth:`foreign_slot`."""
