"""Data sets with images: what is held out, and what a model and its baselines see."""

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import mudata
import numpy as np
import pandas as pd

from cellprism import CrossModalVAE, datasets

SHIPPED = {"jurkat_ifc_images": datasets.jurkat_ifc_images, "ht29_ph3_images": datasets.ht29_ph3_images}
SPLIT_SEED = 0


@dataclass(frozen=True)
class ImageData:
    """Cells of two modalities, of which a part is held out.

    Parameters
    ----------
    mdata
        All cells.
    names
        The modalities in the order source, target.
    held_out
        Names of the held-out cells.
    """

    mdata: mudata.MuData
    names: tuple[str, str]
    held_out: pd.Index

    @cached_property
    def train(self) -> mudata.MuData:
        """What a model is trained on."""
        return mudata.MuData({name: self.mdata[name][self.training_of(name)].copy() for name in self.names})

    def training_of(self, modality: str) -> pd.Index:
        """Training cells of a modality, in its order."""
        cells = self.mdata[modality].obs_names
        return cells[~cells.isin(self.held_out)]

    def held_out_of(self, modality: str) -> pd.Index:
        """Held-out cells of a modality, in its order."""
        cells = self.mdata[modality].obs_names
        return cells[cells.isin(self.held_out)]

    def labels(self, modality: str, cells: pd.Index, column: str) -> np.ndarray:
        """Classes of some cells."""
        return self.mdata[modality].obs.loc[cells, column].astype(str).to_numpy()

    def images(self, modality: str, cells: pd.Index) -> np.ndarray:
        """Images of some cells as fractions of full intensity."""
        return np.float32(self.mdata[modality][cells].obsm["image"]) / 255

    def alone(self, modality: str, cells: pd.Index) -> mudata.MuData:
        """Some cells as if they had been measured in one modality."""
        return mudata.MuData({modality: self.mdata[modality][cells].copy()})

    def translated(self, model: CrossModalVAE, source: str, target: str) -> np.ndarray:
        """Images of the held-out cells of a source, predicted."""
        cells = self.held_out_of(source)
        return model.translate(source, target, self.alone(source, cells))[cells].obsm["image"]


def read_mdata(name: str, folder: Path | None) -> mudata.MuData:
    if name in SHIPPED:
        return SHIPPED[name]()
    if folder is None or not (folder / f"{name}.h5mu").is_file():
        sys.exit(f"{name}.h5mu was not found in {folder or 'a folder'}: give one with --data, or choose other --rows.")
    return mudata.read_h5mu(folder / f"{name}.h5mu")


def shuffled(names: pd.Index) -> pd.Index:
    return names[np.random.default_rng(SPLIT_SEED).permutation(len(names))]


def paired_data(
    mdata: mudata.MuData, names: tuple[str, str], *, fold: int = 0, n_folds: int = 4, is_strip: bool = False
) -> ImageData:
    """Hold out one of four parts of the paired cells: random, or strips of a field whose crops overlap."""
    cells = mdata[names[0]].obs_names if is_strip else shuffled(mdata[names[0]].obs_names)
    return ImageData(mdata, names, cells[fold * len(cells) // n_folds : (fold + 1) * len(cells) // n_folds])


def unpaired_data(mdata: mudata.MuData, names: tuple[str, str]) -> ImageData:
    """Hold out a random quarter of the cells of each modality."""
    parts = [shuffled(mdata[name].obs_names) for name in names]
    return ImageData(mdata, names, pd.Index(np.concatenate([cells[: len(cells) // 4] for cells in parts])))


def one_stain_each(mdata: mudata.MuData, modality: str) -> mudata.MuData:
    """Leave each cell one of its stains, by chance, as the only channel of a modality ``stain``."""
    adata = mdata[modality].copy()
    channels = [str(name) for name in adata.uns["channels"]]
    kept = np.random.default_rng(SPLIT_SEED).integers(0, len(channels), adata.n_obs)
    adata.obs["stain"] = np.array(channels)[kept]
    adata.obsm["image"] = adata.obsm["image"][np.arange(adata.n_obs), kept][:, None]
    adata.uns["channels"] = ["stain"]
    others = {name: other.copy() for name, other in mdata.mod.items() if name != modality}
    return mudata.MuData(others | {"stain": adata})
