"""What scvi-tools calls fields: the slots of a MuData that a model reads, each checked and remembered."""

from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scvi.data.fields import BaseAnnDataField
from torch import Tensor

from cellprism.data._read import check_unique, closest, obs_columns, read_obs
from cellprism.data._rows import Rows
from cellprism.data._stored_rows import StoredRows
from cellprism.data._stored_slots import StoredSlots


class Reader(Protocol):
    """What a modality must offer to be read from an AnnData."""

    @property
    def slots(self) -> tuple[str, ...] | None:
        """Slots that are read; ``None`` if that may be any."""

    def check_layout(self, adata: AnnData, accessor: str, shape: tuple[int, ...] | None = None) -> None:
        """Refuse data that lie otherwise than expected, or in another shape than a model knows."""

    def feature_names(self, adata: AnnData) -> list[str]:
        """Names of the features, in the order in which rows hold them."""

    def shape(self, adata: AnnData) -> tuple[int, ...]:
        """Shape of one cell's measurement."""

    def read(self, adata: AnnData, accessor: str, order: np.ndarray | None) -> Rows:
        """Check and copy the measurements, features in the order given."""

    def check_together(self, rows: Rows, accessor: str) -> None:
        """Refuse rows of many cells that are as they should be, each alone, but not all together."""


class _Field(BaseAnnDataField):
    """A field whose state is a dictionary of plain values."""

    attr_key = None
    is_empty = False

    def validate_field(self, adata: MuData) -> None:
        """Everything is checked where it is read."""

    def get_summary_stats(self, state_registry: dict) -> dict:
        """Nothing that the state does not say."""
        return {}

    def view_state_registry(self, state_registry: dict) -> None:
        """No table of its own."""


class ModalityField(_Field):
    """One modality of a MuData: the names of its features, and its rows.

    Parameters
    ----------
    modality
        Name of the modality.
    reader
        How its measurements are read.
    """

    attr_name = "X"

    def __init__(self, modality: str, reader: Reader) -> None:
        self.modality = modality
        self.reader = reader

    @property
    def registry_key(self) -> str:
        """Key of this field's state."""
        return f"modality {self.modality}"

    @property
    def mod_key(self) -> str:
        """Modality that the field lies in."""
        return self.modality

    def register_field(self, mdata: MuData) -> dict[str, Any]:
        """Remember the feature names."""
        adata = mdata.mod[self.modality]
        self.reader.check_layout(adata, f"mdata[{self.modality!r}]")
        check_unique(adata.var_names, f"mdata[{self.modality!r}].var_names")
        return {"features": self.reader.feature_names(adata), "shape": list(self.reader.shape(adata))}

    def transfer_field(self, state_registry: dict, adata_target: MuData, **kwargs: Any) -> dict[str, Any]:
        """Check that other data have the features; their order is free."""
        if self.modality in adata_target.mod:
            self.register_field(adata_target)
            shape = tuple(state_registry["shape"])
            self.reader.check_layout(adata_target.mod[self.modality], f"mdata[{self.modality!r}]", shape)
            self.order(state_registry, adata_target)
        return dict(state_registry)

    def order(self, state: dict[str, Any], mdata: MuData) -> np.ndarray | None:
        """Columns of the modality in the order in which the model knows them; None if that is how they lie.

        Raises
        ------
        ValueError
            If features are missing.
        """
        known, found = state["features"], self.reader.feature_names(mdata.mod[self.modality])
        if known == found:
            return None
        columns = pd.Index(found).get_indexer(pd.Index(known))
        if (columns < 0).any():
            missing = [known[i] for i in np.flatnonzero(columns < 0)]
            raise ValueError(
                f"mdata[{self.modality!r}].var_names lack {len(missing)} of the {len(known)} features that the "
                f"model knows (such as {', '.join(map(repr, missing[:3]))}). {closest(missing[0], found[:5000])} "
                "Use the features the model was trained on."
            )
        return columns

    def rows(self, state: dict[str, Any], mdata: MuData) -> Rows | StoredRows:
        """Read the rows; those of a file are only looked at, and read when they are needed."""
        order, accessor, reader = self.order(state, mdata), f"mdata[{self.modality!r}]", self.reader
        slots = StoredSlots(mdata.mod[self.modality], reader.slots, accessor)
        if slots.is_stored:
            return StoredRows.looked_at(lambda rows: reader.read(slots.take(rows), accessor, order), slots.n_rows)
        rows = reader.read(mdata.mod[self.modality], accessor, order)
        reader.check_together(rows, accessor)
        return rows


class CategoryField(_Field):
    """A column of classes: experimental batches or labels.

    Parameters
    ----------
    role
        ``"batch"`` or ``"labels"``; part of the messages.
    key
        Column of ``mdata.obs`` or of the modalities' ``.obs``.
    modalities
        Where to look besides ``mdata.obs``.
    unlabeled_category
        Value that means "not known", as missing values do. Only for labels.
    """

    attr_name = "obs"

    def __init__(self, role: str, key: str, modalities: list[str], *, unlabeled_category: str | None = None) -> None:
        self.role = role
        self.key = key
        self.modalities = modalities
        self.unlabeled_category = unlabeled_category

    @property
    def registry_key(self) -> str:
        """Key of this field's state."""
        return self.role

    @property
    def attr_key(self) -> str:  # type: ignore[override]
        """Column that the field reads."""
        return self.key

    def _column(self, mdata: MuData) -> pd.Series | None:
        column = read_obs(mdata, self.key, self.modalities)
        if column is None:
            return None
        known = column.notna() & (column.astype(str) != str(self.unlabeled_category))
        return column.map(str).where(known, None)

    def _require(self, mdata: MuData) -> pd.Series:
        column = self._column(mdata)
        if column is None:
            raise KeyError(
                f"{self.role}_key={self.key!r} is neither in mdata.obs nor in the .obs of a modality. "
                f"{closest(self.key, obs_columns(mdata))}"
            )
        return column

    def register_field(self, mdata: MuData) -> dict[str, Any]:
        """Remember the classes, sorted by name."""
        column = self._require(mdata)
        categories = sorted(column.dropna().unique().tolist())
        if self.role == "batch" and column.isna().any():
            raise ValueError(
                f"mdata.obs[{self.key!r}] has no batch for {int(column.isna().sum())} cells; expected one for each."
            )
        if self.role == "labels" and len(categories) < 2:
            found = f"only the class {categories[0]!r}" if categories else "no labelled cell"
            raise ValueError(
                f"mdata.obs[{self.key!r}] holds {found}; labels need at least two classes. "
                "Choose another labels_key, or none."
            )
        return {"key": self.key, "categories": categories}

    def transfer_field(self, state_registry: dict, adata_target: MuData, **kwargs: Any) -> dict[str, Any]:
        """Keep the classes of the model."""
        return dict(state_registry)

    def codes(self, state: dict[str, Any], mdata: MuData) -> Tensor:
        """Class of each cell; -1 where it has none.

        Raises
        ------
        KeyError
            If batches are needed and the column is missing.
        ValueError
            If a batch was not seen in training.
        """
        column = self._require(mdata) if self.role == "batch" else self._column(mdata)
        if column is None:
            return torch.full((mdata.n_obs,), -1)
        codes = pd.Index(state["categories"], dtype=object).get_indexer(column.astype(object)).astype(np.int64)
        if self.role == "batch" and (codes < 0).any():
            unseen = sorted({str(value) for value in column[codes < 0]})
            raise ValueError(
                f"mdata.obs[{self.key!r}] has batches that the model has not seen: {', '.join(map(repr, unseen))}. "
                f"It knows {', '.join(map(repr, state['categories']))}. Train with them, or relabel these cells."
            )
        return torch.from_numpy(np.array(codes))


class MarkerField(_Field):
    """Continuous markers, such as a differentiation score, that are known in all modalities.

    Parameters
    ----------
    keys
        Columns of ``mdata.obs`` or of the modalities' ``.obs``.
    modalities
        Where to look besides ``mdata.obs``.
    """

    attr_name = "obs"
    registry_key = "marker"

    def __init__(self, keys: list[str], modalities: list[str]) -> None:
        self.keys = keys
        self.modalities = modalities

    def register_field(self, mdata: MuData) -> dict[str, Any]:
        """Remember mean and standard deviation, by which markers are standardised.

        Raises
        ------
        KeyError
            If a column is missing.
        ValueError
            If a marker is not a finite number in some cells, or is constant.
        """
        columns = self._columns(mdata)
        if columns is None:
            missing = next(k for k in self.keys if read_obs(mdata, k, self.modalities) is None)
            raise KeyError(
                f"marker_key={missing!r} is neither in mdata.obs nor in the .obs of a modality. "
                f"{closest(missing, obs_columns(mdata))}"
            )
        for key, values in zip(self.keys, columns.T, strict=True):
            if not np.isfinite(values).all():
                raise ValueError(
                    f"mdata.obs[{key!r}] has {int((~np.isfinite(values)).sum())} NaN or infinite values; a marker "
                    "needs a finite number for each cell. Drop those cells or impute the marker."
                )
            if values.std() == 0:
                raise ValueError(f"mdata.obs[{key!r}] is constant; a marker must vary over cells.")
        return {"keys": self.keys, "mean": columns.mean(0).tolist(), "std": columns.std(0).tolist()}

    def transfer_field(self, state_registry: dict, adata_target: MuData, **kwargs: Any) -> dict[str, Any]:
        """Keep mean and standard deviation of the model."""
        return dict(state_registry)

    def _columns(self, mdata: MuData) -> np.ndarray | None:
        columns = [read_obs(mdata, key, self.modalities) for key in self.keys]
        if any(column is None for column in columns):
            return None
        return np.stack([pd.to_numeric(c, errors="coerce").to_numpy(float) for c in columns], axis=1)  # type: ignore[arg-type]

    def values(self, state: dict[str, Any], mdata: MuData) -> Tensor:
        """Standardised markers of each cell; zero where other data have none, since only training uses them."""
        columns = self._columns(mdata)
        if columns is None:
            return torch.zeros(mdata.n_obs, len(self.keys))
        scaled = (columns - np.array(state["mean"])) / np.array(state["std"])
        return torch.from_numpy(np.nan_to_num(scaled).astype(np.float32))
