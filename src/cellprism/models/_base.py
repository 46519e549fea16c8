"""What every model shares: registration, construction, training."""

import json
import logging
import math
import weakref
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from anndata import AnnData
from mudata import MuData
from scvi import settings
from scvi.model.base import BaseModelClass

from cellprism.data import CellDataset
from cellprism.latents import FreeLatents, LatentLayout
from cellprism.modalities import Architecture, Modality
from cellprism.models._inference import Inference
from cellprism.models._registration import Registration, as_mudata, choose_modalities, logger
from cellprism.models._saving import Saving
from cellprism.models._training import Training, seeded
from cellprism.models._writing import Writing
from cellprism.module import LatentModule
from cellprism.objectives import Objective


class LatentModel(Training, Inference, Writing, Saving, BaseModelClass):
    """A model that is a recipe: modalities, a layout, objectives and stages.

    Named models subclass it and say which objectives and stages they use by default.
    """

    _setups: ClassVar[dict[int, tuple[weakref.ref, Registration]]] = {}

    # ---- registration

    @classmethod
    def setup_mudata(
        cls,
        mdata: MuData | AnnData,
        modalities: dict[str, Modality] | list[str] | None = None,
        *,
        batch_key: str | None = None,
        labels_key: str | None = None,
        unlabeled_category: str | None = None,
        marker_key: str | Sequence[str] | None = None,
    ) -> None:
        """Say what is measured where. Nothing is written into ``mdata``.

        Parameters
        ----------
        mdata
            Cells measured in one or more modalities. A cell's presence in a modality is read from its name. An
            AnnData is accepted as the only modality.
        modalities
            Kind of each modality by name; the others are not used. A list of names, or nothing, infers the kinds
            and logs them.
        batch_key
            Column of ``mdata.obs``, or of the modalities' ``.obs``, with experimental batches; one for each cell.
        labels_key
            Column with classes, known for some cells or all.
        unlabeled_category
            Value in that column that means "not known", as missing values do.
        marker_key
            One or more columns with continuous markers, known for all cells.

        Raises
        ------
        KeyError
            If a modality, layer or column does not exist; the closest name is offered.
        ValueError
            If values are not what the kind needs; the slot is named.
        """
        registration = cls._register(
            mdata,
            modalities,
            batch_key=batch_key,
            labels_key=labels_key,
            unlabeled_category=unlabeled_category,
            marker_key=marker_key,
        )
        registration.manager(as_mudata(mdata, list(registration.modalities)), cls.__name__).read()
        key = id(mdata)
        cls._setups[key] = (weakref.ref(mdata, lambda _: cls._setups.pop(key, None)), registration)

    @classmethod
    def setup_anndata(cls, *args: Any, **kwargs: Any) -> None:
        """Point to :meth:`setup_mudata`.

        Raises
        ------
        NotImplementedError
            Always.
        """
        raise NotImplementedError(
            f"{cls.__name__} reads MuData: call {cls.__name__}.setup_mudata(mdata). One modality alone may be given "
            f"as AnnData, to setup_mudata or to {cls.__name__}(adata)."
        )

    @classmethod
    def _register(
        cls,
        data: MuData | AnnData,
        modalities: dict[str, Modality] | list[str] | None,
        *,
        marker_key: str | Sequence[str] | None = None,
        **columns: str | None,
    ) -> Registration:
        chosen = choose_modalities(as_mudata(data, None if modalities is None else list(modalities)), modalities)
        markers = () if marker_key is None else (marker_key,) if isinstance(marker_key, str) else tuple(marker_key)
        return Registration(chosen, marker_keys=markers, **columns)

    @classmethod
    def _registration_of(cls, data: MuData | AnnData) -> Registration:
        """What was set up for this object, or what it looks like."""
        found, registration = cls._setups.get(id(data), (None, None))
        if found is not None and found() is data:
            return registration
        logger.info("%s was not set up; modalities are inferred. Use %s.setup_mudata to say otherwise.",
                    type(data).__name__, cls.__name__)  # fmt: skip
        return cls._register(data, None)

    # ---- construction

    def __init__(
        self,
        mdata: MuData | AnnData | None,
        *,
        architecture: Architecture,
        layout: LatentLayout | None,
        n_shared: int,
        n_private: int | dict[str, int],
        objectives: Sequence[Objective] | None,
        seed: int | None,
        registry: dict | None,
    ) -> None:
        _show_log()
        self._register_data(mdata, registry)
        self.measured_batches_: dict[str, list[int]] = {}
        self.axes_: dict[str, np.ndarray] = {}
        self.seed_ = int(seed if seed is not None else settings.seed if settings.seed is not None else 0)
        names = list(self.registration.modalities)
        layout = layout or LatentLayout.split(names, n_shared=n_shared, n_private=n_private)
        layout.check(names)
        self._layout = layout
        chosen = tuple(objectives) if objectives is not None else self._default_objectives()
        self.init_params_ = {
            "architecture": architecture.to_plain(),
            "layout": layout.to_plain(),
            "objectives": [objective.to_plain() for objective in chosen],
            "seed": self.seed_,
        }
        with seeded(self.seed_):
            self.module = LatentModule(
                self.registration.modalities,
                {name: tuple(self._state(f"modality {name}")["shape"]) for name in names},
                layout=layout,
                objectives=chosen,
                architecture=architecture,
                n_batches=len(self.batch_categories) or 1,
                n_classes=len(self.label_categories),
                n_markers=len(self.registration.marker_keys),
                codes=self._new_codes(layout),
            )
        self.module.eval()
        self._model_summary_string = self._describe()
        if mdata is not None and registry is None:
            logger.info("%s", self._model_summary_string)

    def _register_data(self, data: MuData | AnnData | None, registry: dict | None) -> None:
        if registry is not None:
            self.registration = Registration.from_plain(registry["setup_args"])
        elif data is not None:
            self.registration = type(self)._registration_of(data)
        else:
            raise ValueError(f"{type(self).__name__} needs data: {type(self).__name__}(mdata).")
        manager = None
        if data is not None:
            wrapped = as_mudata(data, list(self.registration.modalities))
            manager = self.registration.manager(wrapped, type(self).__name__, registry)
        super().__init__(registry=_plain_registry(registry if manager is None else manager.registry))
        self._adata = None if manager is None else manager.adata
        self._adata_manager = manager
        self._given = data
        self._dataset = None if manager is None else manager.read()

    @property
    def mdata(self) -> MuData | None:
        """The data the model was made with."""
        return self._adata

    @property
    def layout(self) -> LatentLayout:
        """The latent space."""
        return self._layout

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Terms of the loss."""
        return self.module.objectives

    def _state(self, field: str) -> dict[str, Any]:
        return self.registry_["field_registries"].get(field, {}).get("state_registry", {})

    @property
    def batch_categories(self) -> list[str]:
        """Experimental batches the model knows; empty where none were registered."""
        return self._state("batch").get("categories", [])

    @property
    def label_categories(self) -> list[str]:
        """Label classes the model knows; empty where none were registered."""
        return self._state("labels").get("categories", [])

    def _new_codes(self, layout: LatentLayout) -> FreeLatents | None:
        """Latents that belong to cells, for models that fit them."""
        return None

    @abstractmethod
    def _default_objectives(self) -> tuple[Objective, ...]:
        """Terms that the data call for."""

    def _describe(self) -> str:
        """Say in a block what the model is and what it minimises."""
        lines = [f"{type(self).__name__}, seed {self.seed_}"]
        for name, modality in self.registration.modalities.items():
            shape = " x ".join(map(str, self._state(f"modality {name}")["shape"]))
            cells = "" if self._dataset is None else f", {len(self._dataset.cells_with(name)):,} cells"
            lines.append(f"  modality   {name}: {modality}{cells}, {shape} features")
        lines += [f"  pairs      {text}" for text in self._describe_pairs()]
        lines += [f"  {role:<10} {len(found)} classes" for role, found in
                  (("batches", self.batch_categories), ("labels", self.label_categories)) if found]  # fmt: skip
        lines += [
            f"  block      {b.name}: {b.width} wide, seen by {', '.join(b.modalities)}" for b in self.layout.blocks
        ]
        lines += [f"  objective  {objective}" for objective in self.objectives]
        return "\n".join(lines)

    def _describe_pairs(self) -> list[str]:
        names = list(self.registration.modalities)
        if self._dataset is None:
            return []
        return [
            f"{first} and {second}: {self._dataset.n_pairs(first, second):,} cells"
            for position, first in enumerate(names)
            for second in names[position + 1 :]
        ]

    def _require_dataset(self) -> CellDataset:
        if self._dataset is None:
            raise ValueError(
                f"This {type(self).__name__} was loaded without data. Load it with load(path, mdata), or pass mdata=..."
            )
        return self._dataset


def default_epochs(n_cells: int, batch_size: int, n_steps: int, *, at_least: int = 20) -> int:
    """Twenty epochs, or more for few cells, so that passing over all of them takes ``n_steps`` steps."""
    return max(at_least, math.ceil(n_steps / math.ceil(n_cells / batch_size)))


def _plain_registry(registry: dict) -> dict:
    """Turn a manager's registry into plain dictionaries."""
    return json.loads(json.dumps(registry))


def _show_log() -> None:
    """Let INFO messages reach a user who configured no logging."""
    if not logger.handlers and not logging.getLogger().handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
