"""Predictions that go minibatch by minibatch into a file, for matrices that memory does not hold."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.io import write_elem

Values = np.ndarray | h5py.Dataset
Allocate = Callable[[str, tuple[int, ...]], Values]
"""Makes room for values of a shape in a slot of an AnnData."""

CHUNK_VALUES = 2**18


def in_memory(slot: str, shape: tuple[int, ...]) -> np.ndarray:
    """Make room in an array."""
    return np.empty(shape, dtype=np.float32)


def check_new(path: str | Path) -> Path:
    """Give the path of an h5ad file that can be written.

    Raises
    ------
    ValueError
        If the name does not end in ``.h5ad``.
    FileExistsError
        If there is such a file.
    FileNotFoundError
        If there is no such folder.
    """
    path = Path(path)
    if path.suffix != ".h5ad":
        raise ValueError(f"to_disk is {str(path)!r}; expected a name that ends in .h5ad.")
    if path.exists():
        raise FileExistsError(f"{path} exists. Remove it, or choose another name for to_disk.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent} is not a folder; make it, or choose another for to_disk.")
    return path


@contextmanager
def on_disk(path: Path, empty: AnnData, obs: pd.DataFrame) -> Iterator[Allocate]:
    """Fill an h5ad file; it gets its name once all is written, and nothing is left of it otherwise.

    Parameters
    ----------
    path
        The file.
    empty
        What the file will hold, without any cell.
    obs
        Annotation of the cells.
    """
    part = path.with_suffix(".h5ad.part")
    try:
        empty.write_h5ad(part)
        with h5py.File(part, "r+") as file:
            write_elem(file, "obs", obs)

            def allocate(slot: str, shape: tuple[int, ...]) -> h5py.Dataset:
                if slot in file:
                    del file[slot]
                rows = max(1, min(shape[0], CHUNK_VALUES // max(1, int(np.prod(shape[1:])))))
                made = file.create_dataset(slot, shape, dtype="f4", chunks=(rows, *shape[1:]))
                made.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
                return made

            yield allocate
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
