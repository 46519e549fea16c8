"""From the command's options to cells: the file, the columns, the cells that are held out, where results go."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import h5py
import mudata
import numpy as np
import pandas as pd

from cellprism import datasets
from cellprism._keys import RECONSTRUCTED, UNS, X_PRIVATE, X_SHARED, translated_layer
from cellprism.cli._errors import CommandError, explained
from cellprism.data import closest, obs_columns, read_obs

DEFAULT_SHARE = "0.25"
A549_LABELS = "treatment_time"
A549_HELD_OUT = "author_split=test"
SPLIT_SEED = 0


@dataclass(frozen=True)
class Paths:
    """Where results go.

    Parameters
    ----------
    output
        The annotated ``.h5mu`` file.
    model
        Folder of the saved model.
    figures
        Folder of figures; ``None`` draws none.
    """

    output: Path
    model: Path
    figures: Path | None


@dataclass(frozen=True)
class Cells:
    """The data and what is to be done with them.

    Parameters
    ----------
    mdata
        All cells.
    modalities
        Names of those to use.
    labels_key, batch_key
        Columns of ``.obs``.
    labels
        One label per cell of ``mdata``; ``None`` without labels.
    is_held_out
        Which cells of ``mdata`` are kept out of training.
    rule
        How they were chosen, in words.
    """

    mdata: mudata.MuData
    modalities: list[str]
    labels_key: str | None
    batch_key: str | None
    labels: pd.Series | None
    is_held_out: np.ndarray
    rule: str

    @property
    def held_out(self) -> pd.Index:
        """Names of the held-out cells."""
        return self.mdata.obs_names[self.is_held_out]

    @property
    def training(self) -> pd.Index:
        """Names of all other cells."""
        return self.mdata.obs_names[~self.is_held_out]


def choose_paths(options: argparse.Namespace) -> Paths:
    """Say where results go, and check that they can go there before anything takes time."""
    stem = "a549" if options.data is None else options.data.stem
    output = options.output or Path(f"{stem}_cellprism.h5mu")
    beside = output.with_suffix("") if output.suffix == ".h5mu" else output
    model = options.save_model or Path(f"{beside}_model")
    figures = None if options.no_figures else options.figures or Path(f"{beside}_figures")
    if output.is_dir():
        raise CommandError(f"--output {output} is a folder; give a file name, such as {output / 'annotated.h5mu'}")
    if options.data is not None and output.exists() and output.samefile(options.data):
        raise CommandError(f"--output {output} is the input file; give another name")
    for option, path in (("--output", output), ("--save-model", model), ("--figures", figures)):
        if path is not None and not path.parent.is_dir():
            raise CommandError(f"{option} {path}: there is no folder {path.parent}; make it first")
        if path is not None and path is not output and path.exists() and not path.is_dir():
            raise CommandError(f"{option} {path} is a file; give a folder")
    if model.is_dir() and any(model.iterdir()) and not (model / "model.pt").is_file():
        raise CommandError(f"--save-model {model} holds something else than a model; give another folder")
    return Paths(output, model, figures)


def read_cells(options: argparse.Namespace) -> Cells:
    """Read the data and find every column that was named."""
    is_a549 = options.data is None
    mdata = datasets.a549() if is_a549 else read_file(options.data)
    modalities = list(dict.fromkeys(options.modalities or mdata.mod))
    for name in modalities:
        if name not in mdata.mod:
            raise CommandError(f"--modalities: the data have no modality {name!r}. {closest(name, list(mdata.mod))}")
    labels_key = None if options.no_labels else options.labels or (A549_LABELS if is_a549 else None)
    labels = None if labels_key is None else read_column(mdata, labels_key, modalities, "--labels")
    if options.batch is not None:
        read_column(mdata, options.batch, modalities, "--batch")
    rule = options.held_out or (A549_HELD_OUT if is_a549 else DEFAULT_SHARE)
    is_held_out, described = choose_held_out(mdata, rule, modalities)
    return Cells(mdata, modalities, labels_key, options.batch, labels, is_held_out, described)


def read_file(path: Path) -> mudata.MuData:
    """Read an ``.h5mu`` file; say what it is if it is something else."""
    if not path.exists():
        raise CommandError(f"{path} does not exist; expected a MuData file (.h5mu)")
    if path.is_dir():
        raise CommandError(f"{path} is a folder; expected a MuData file (.h5mu)")
    with explained(f"{path} cannot be read as MuData"):
        if not h5py.is_hdf5(path):
            raise CommandError(f"{path} is not an HDF5 file; expected a file that MuData.write made (.h5mu)")
        with h5py.File(path) as file:
            groups = set(file)
        if "mod" not in groups:
            hint = ". It looks like AnnData (.h5ad): write MuData({'rna': adata}) instead" if "obs" in groups else ""
            raise CommandError(f"{path} holds no modalities; expected a file that MuData.write made (.h5mu){hint}")
        return mudata.read_h5mu(path)


def read_column(mdata: mudata.MuData, key: str, modalities: list[str], option: str = "") -> pd.Series:
    """Read a column of ``.obs`` of the MuData or its modalities, one value per cell.

    ``option`` names what asked for it, for the message.
    """
    with explained(f"{option} {key}"):
        column = read_obs(mdata, key, modalities)
    if column is None:
        known = obs_columns(mdata)
        raise CommandError(f"{option} {key}: there is no such column in .obs. {closest(key, known)}")
    return column


def choose_held_out(mdata: mudata.MuData, rule: str, modalities: list[str]) -> tuple[np.ndarray, str]:
    """Say which cells are kept out of training, and how they were chosen."""
    if "=" in rule:
        key, _, value = rule.partition("=")
        column = read_column(mdata, key, modalities, "--held-out").map(str)
        chosen, described = (column == value).to_numpy(), f"{key} is {value}"
        if not chosen.any():
            known = sorted(column.dropna().unique())
            raise CommandError(f"--held-out {rule}: no cell has {value!r} in {key!r}. {closest(value, known)}")
    else:
        share = _share(rule)
        chosen = np.zeros(mdata.n_obs, dtype=bool)
        chosen[np.random.default_rng(SPLIT_SEED).permutation(mdata.n_obs)[: round(share * mdata.n_obs)]] = True
        described = f"a fixed random {share:.0%}" if chosen.any() else "none"
    if (~chosen).sum() < 2:
        raise CommandError(f"--held-out {rule} leaves {(~chosen).sum()} cells to train on; expected at least 2")
    return chosen, described


def check_slots(cells: Cells) -> None:
    """Refuse to train for results that could not be written: slots that something else than cellprism filled."""
    if UNS in cells.mdata.uns:
        return
    taken = [f"mdata.obsm[{X_SHARED!r}]"] if X_SHARED in cells.mdata.obsm else []
    for name in cells.modalities:
        adata = cells.mdata.mod[name]
        layers = [RECONSTRUCTED, *(translated_layer(source) for source in cells.modalities if source != name)]
        taken += [f"mdata[{name!r}].obsm[{key!r}]" for key in (X_SHARED, X_PRIVATE) if key in adata.obsm]
        taken += [f"mdata[{name!r}].layers[{key!r}]" for key in layers if key in adata.layers]
    if taken:
        raise CommandError(
            f"the data hold results that cellprism did not write: {', '.join(taken)}. Rename them, or pass --overwrite"
        )


def _share(rule: str) -> float:
    try:
        share = float(rule)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise CommandError(f"--held-out {rule}: expected KEY=VALUE, or a share of at least 0 and below 1, such as 0.25")
    return share
