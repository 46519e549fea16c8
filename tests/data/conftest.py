from collections.abc import Mapping

import pytest
from mudata import MuData

from cellprism.data import CategoryField, CellDataset, CellManager, MarkerField, ModalityField
from cellprism.modalities import Features, Modality


def _read(mdata: MuData, modalities: Mapping[str, Modality] | None = None, **columns) -> CellDataset:
    names = list(mdata.mod)
    kinds = modalities or {name: Features() for name in names}
    fields = [ModalityField(name, kind) for name, kind in kinds.items()]
    if "batch" in columns:
        fields.append(CategoryField("batch", columns["batch"], names))
    if "labels" in columns:
        fields.append(CategoryField("labels", columns["labels"], names, unlabeled_category=columns.get("unlabeled")))
    if "marker" in columns:
        fields.append(MarkerField(columns["marker"], names))
    setup = {"model_name": "test", "setup_method_name": "setup_mudata", "setup_args": {}}
    manager = CellManager(fields=fields, setup_method_args=setup)
    manager.register_fields(mdata)
    return manager.read()


@pytest.fixture(scope="session")
def read():
    """Turn a MuData into a data set, every modality as continuous features unless kinds are given."""
    return _read
