"""scvi-tools' AnnDataManager over one MuData, paired or not, that serves our own dataset."""

from collections.abc import Sequence
from typing import Any

import torch
from mudata import MuData
from scvi.data import AnnDataManager
from torch.utils.data import Subset

from cellprism.data._dataset import CellDataset
from cellprism.data._fields import CategoryField, MarkerField, ModalityField
from cellprism.data._read import check_unique, row_of_cell


class CellManager(AnnDataManager):
    """Checks a MuData against the registered fields and turns it into a :class:`CellDataset`.

    The stock manager demands fully paired MuData or, with that check off, indexes each modality by the union's
    row. This one reads presence by cell name. It writes nothing into the user's object.
    """

    def _validate_anndata_object(self, adata: MuData) -> None:
        if adata.axis != 0:
            raise ValueError(
                f"mdata.axis is {adata.axis}; expected 0 (cells shared by modalities). Build MuData with axis=0."
            )
        check_unique(adata.obs_names, "mdata.obs_names")
        names = [field.modality for field in self.fields if isinstance(field, ModalityField)]
        if not any(name in adata.mod for name in names):
            raise ValueError(
                f"mdata holds the modalities {', '.join(map(repr, adata.mod))}; "
                f"expected at least one of {', '.join(map(repr, names))}."
            )

    def _assign_uuid(self) -> None:
        """Leave the user's ``.uns`` alone."""
        self._registry["_scvi_uuid"] = self.id

    def _assign_most_recent_manager_uuid(self) -> None:
        """Leave the user's ``.uns`` alone."""

    def validate(self) -> None:
        """Everything was checked when the data were read."""
        self._assert_anndata_registered()

    def state(self, registry_key: str) -> dict[str, Any]:
        """Give what a field remembers, as plain values."""
        return dict(self._registry["field_registries"][registry_key]["state_registry"])

    def read(self) -> CellDataset:
        """Read all registered slots.

        Raises
        ------
        ValueError, KeyError
            As the fields say, with the slot named.
        """
        mdata = self.adata
        rows, places = {}, {}
        codes = {"batch": torch.zeros(mdata.n_obs, dtype=torch.long), "labels": torch.full((mdata.n_obs,), -1)}
        markers = torch.zeros(mdata.n_obs, 0)
        for field in self.fields:
            state = self.state(field.registry_key)
            if isinstance(field, ModalityField) and self._holds(field.modality):
                places[field.modality] = torch.from_numpy(row_of_cell(mdata, field.modality).astype("int64"))
                rows[field.modality] = field.rows(state, mdata)
            elif isinstance(field, CategoryField):
                codes[field.role] = field.codes(state, mdata)
            elif isinstance(field, MarkerField):
                markers = field.values(state, mdata)
        return CellDataset(rows, places, codes["batch"], codes["labels"], markers)

    def _holds(self, modality: str) -> bool:
        """Whether there is anything to read; new cells may all lack a modality, those of a new model may not."""
        is_new_model = self._source_registry is None
        return modality in self.adata.mod and (is_new_model or self.adata.mod[modality].n_obs > 0)

    def create_torch_dataset(
        self,
        indices: Sequence[int] | None = None,
        data_and_attributes: Any = None,
        load_sparse_tensor: bool = False,
    ) -> CellDataset | Subset:
        """Read the MuData; the right row for the right cell, in every modality that has the cell.

        Parameters
        ----------
        indices
            Rows of the MuData to keep; all by default.
        data_and_attributes, load_sparse_tensor
            Accepted for scvi-tools and ignored: all fields are served, sparse data stay sparse.
        """
        dataset = self.read()
        return dataset if indices is None else Subset(dataset, indices)
