"""Models on disk: weights and plain values, never code."""

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scvi.model._utils import parse_device_args

from cellprism import __version__

if TYPE_CHECKING:
    from cellprism.models._base import LatentModel

FILE_NAME = "model.pt"
FORMAT = "cellprism model 1"


class Saving:
    """Saving and loading without executing anything from the file."""

    def save(self: "LatentModel", dir_path: str | Path, *, overwrite: bool = False, save_mudata: bool = False) -> None:
        """Save weights, settings, registration and history.

        Parameters
        ----------
        dir_path
            Folder to make; the model goes to ``model.pt`` in it.
        overwrite
            Write into a folder that exists.
        save_mudata
            Also write the data, to ``mdata.h5mu``.

        Raises
        ------
        FileExistsError
            If the folder exists and ``overwrite`` is off.
        """
        folder = Path(dir_path)
        if folder.exists() and not overwrite:
            raise FileExistsError(f"{folder} exists. Choose another folder or pass overwrite=True.")
        folder.mkdir(parents=True, exist_ok=True)
        if save_mudata:
            self._require_dataset()
            self._adata.write_h5mu(folder / "mdata.h5mu")
        torch.save(
            {
                "format": FORMAT,
                "version": __version__,
                "model": type(self).__name__,
                "registry": self.registry_,
                "init_params": self.init_params_,
                "weights": self.module.state_dict(),
                "attributes": self._attributes(),
            },
            folder / FILE_NAME,
        )

    def _attributes(self: "LatentModel") -> dict[str, Any]:
        return {
            "is_trained": self.is_trained_,
            "measured_batches": self.measured_batches_,
            "axes": {block: torch.from_numpy(axes) for block, axes in self.axes_.items()},
            "train_indices": _tensor(self.train_indices_),
            "validation_indices": _tensor(self.validation_indices_),
            "cells": None if self.module.codes is None else [str(cell) for cell in self.cells_],
            "history": {
                name: {"epoch": frame.index.tolist(), "value": frame[name].tolist()}
                for name, frame in (self.history_ or {}).items()
            },
        }

    @classmethod
    def load(
        cls: type["LatentModel"],
        dir_path: str | Path,
        mdata: MuData | AnnData | None = None,
        *,
        accelerator: str = "auto",
        device: int | str = "auto",
    ) -> Self:
        """Load a model; nothing in the file is executed.

        Parameters
        ----------
        dir_path
            Folder that :meth:`save` wrote.
        mdata
            Data with the features that the model knows, in any order; the data saved with the model, if any, by
            default. Without data, verbs need ``mdata=``.
        accelerator, device
            Where to put the weights.

        Raises
        ------
        FileNotFoundError
            If there is no model in the folder.
        ValueError
            If the file is damaged, not ours, or of another model; if features are missing in ``mdata``.
        """
        saved = _read(Path(dir_path))
        if saved["model"] != cls.__name__:
            raise ValueError(f"{dir_path} holds a {saved['model']}; load it with {saved['model']}.load.")
        beside = Path(dir_path) / "mdata.h5mu"
        if mdata is None and beside.exists():
            import mudata

            mdata = mudata.read_h5mu(beside)
        model = cls._from_saved(mdata, saved["registry"], saved["init_params"])
        model.module.load_state_dict(saved["weights"])
        attributes = saved["attributes"]
        model.is_trained_ = attributes["is_trained"]
        model.measured_batches_ = attributes["measured_batches"]
        model.axes_ = {block: axes.numpy() for block, axes in attributes["axes"].items()}
        if attributes["cells"] is not None:
            model._follow(attributes["cells"])
        model.train_indices_ = _array(attributes["train_indices"])
        model.validation_indices_ = _array(attributes["validation_indices"])
        model.history_ = {
            name: pd.DataFrame({name: curve["value"]}, index=pd.Index(curve["epoch"], name="epoch"))
            for name, curve in attributes["history"].items()
        } or None
        _, _, where = parse_device_args(
            accelerator=accelerator, devices=device, return_device="torch", validate_single_device=True
        )
        model.module.to(where)
        model.module.eval()
        return model


def _read(folder: Path) -> dict[str, Any]:
    path = folder / FILE_NAME
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist. Give the folder that save() wrote.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about files of others, which are refused below
            saved = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, zipfile.BadZipFile, ValueError, KeyError, OSError) as error:
        raise ValueError(
            f"{path} cannot be read as a cellprism model: it is damaged, cut short, or holds something else "
            f"({str(error).splitlines()[0][:100] if str(error) else type(error).__name__}). Nothing in it was executed."
        ) from None
    if not isinstance(saved, dict) or saved.get("format") != FORMAT:
        raise ValueError(f"{path} is not a model that cellprism wrote (expected format {FORMAT!r}).")
    return saved


def _tensor(rows: np.ndarray | None) -> torch.Tensor | None:
    return None if rows is None else torch.as_tensor(np.asarray(rows))


def _array(rows: torch.Tensor | None) -> np.ndarray | None:
    return None if rows is None else rows.numpy()
