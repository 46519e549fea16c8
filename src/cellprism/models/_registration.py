"""From the user's object to registered fields: what each modality is, which columns are read."""

import logging
from dataclasses import dataclass
from typing import Any

from anndata import AnnData
from mudata import MuData

from cellprism._record import Record
from cellprism.data import CategoryField, CellManager, MarkerField, ModalityField, closest
from cellprism.modalities import Modality, infer_modality

logger = logging.getLogger("cellprism")


@dataclass(frozen=True)
class Registration(Record):
    """Everything that was registered, as plain values.

    Parameters
    ----------
    modalities
        Kind of each modality, by name, in the order of use.
    batch_key, labels_key, unlabeled_category
        Columns of ``.obs``.
    marker_keys
        Columns of ``.obs`` with continuous markers.
    """

    modalities: dict[str, Modality]
    batch_key: str | None = None
    labels_key: str | None = None
    unlabeled_category: str | None = None
    marker_keys: tuple[str, ...] = ()

    def fields(self) -> list[Any]:
        """Give the slots that are read."""
        names = list(self.modalities)
        fields: list[Any] = [ModalityField(name, modality) for name, modality in self.modalities.items()]
        if self.batch_key is not None:
            fields.append(CategoryField("batch", self.batch_key, names))
        if self.labels_key is not None:
            fields.append(CategoryField("labels", self.labels_key, names, unlabeled_category=self.unlabeled_category))
        if self.marker_keys:
            fields.append(MarkerField(list(self.marker_keys), names))
        return fields

    def manager(self, mdata: MuData, model_name: str, source_registry: dict | None = None) -> CellManager:
        """Check a MuData against the registration, or against what a model was trained with."""
        manager = CellManager(
            fields=self.fields(),
            setup_method_args={
                "model_name": model_name,
                "setup_method_name": "setup_mudata",
                "setup_args": self.to_plain(),
            },
        )
        manager.register_fields(mdata, source_registry=source_registry)
        return manager


def choose_modalities(mdata: MuData, asked: dict[str, Modality] | list[str] | None) -> dict[str, Modality]:
    """Say what each modality is: as asked, or as its values look.

    Raises
    ------
    KeyError
        If a modality is asked for that the data lack.
    TypeError
        If a kind is not a :class:`~cellprism.modalities.Modality`.
    """
    names = list(mdata.mod) if asked is None else list(asked)
    if not names:
        raise ValueError("No modality to use: mdata is empty, or modalities is. Name at least one.")
    for name in names:
        if name not in mdata.mod:
            raise KeyError(f"mdata has no modality {name!r}. {closest(name, list(mdata.mod))}")
    kinds = asked if isinstance(asked, dict) else {name: _infer(mdata, name) for name in names}
    for name, modality in kinds.items():
        if not isinstance(modality, Modality):
            raise TypeError(
                f"modalities[{name!r}] is {modality!r}; expected a modality, such as Counts(), Peaks(), Features() or "
                "Images()."
            )
    return {name: kind.completed(mdata.mod[name], f"mdata[{name!r}]") for name, kind in kinds.items()}


def _infer(mdata: MuData, name: str) -> Modality:
    modality, reason = infer_modality(mdata.mod[name], f"mdata[{name!r}]")
    logger.info("mdata[%r] is read as %s: %s.", name, modality, reason)
    return modality


def as_mudata(data: MuData | AnnData, modalities: list[str] | None) -> MuData:
    """Accept AnnData where one modality makes sense.

    Raises
    ------
    ValueError
        If AnnData is given where there are several modalities.
    TypeError
        If it is neither.
    """
    if isinstance(data, MuData):
        return data
    if not isinstance(data, AnnData):
        raise TypeError(f"Found {type(data).__name__}; expected MuData, or AnnData for one modality.")
    if modalities is not None and len(modalities) != 1:
        raise ValueError(
            f"Found AnnData, which is one modality; there are {len(modalities)} ({', '.join(map(repr, modalities))}). "
            f"Say which one it is: MuData({{{modalities[0]!r}: adata}})."
        )
    return MuData({(modalities or ["rna"])[0]: data})
