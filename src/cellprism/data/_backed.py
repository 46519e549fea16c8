"""Open data that are larger than memory."""

from pathlib import Path
from typing import Any

import h5py
from anndata import AnnData
from anndata.io import read_elem, sparse_dataset
from mudata import MuData

HELD = ("obsm", "varm", "obsp", "varp", "obsmap", "varmap", "uns")
"""What is small, and read into memory."""


def read_backed(path: str | Path) -> MuData:
    """Open a MuData file and leave tables and images in it, so that models read them while they train.

    ``.X``, layers, and arrays in ``.obsm`` with three axes or more, such as images, stay in the file; all else is
    read into memory, apart from ``.raw``, which is left out. (:func:`mudata.read_h5mu` with ``backed="r"`` leaves only
    ``.X``.) The file is opened for reading: nothing is written to it.

    Models stream best what lies in the file in the order in which ``mdata.obs_names`` names cells, sparse tables by
    rows (CSR), chunks of zarr arrays of some hundred cells or less.

    Parameters
    ----------
    path
        File that ends in ``.h5mu``, or folder that ends in ``.zarr``.

    Returns
    -------
    MuData that every model takes.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it has another ending, or holds no modalities.

    Examples
    --------
    >>> mdata = cellprism.read_backed("cells.h5mu")  # doctest: +SKIP
    >>> model = cellprism.CrossModalVAE(mdata)  # doctest: +SKIP
    >>> model.train(resident=False)  # doctest: +SKIP
    """
    path = Path(path)
    if path.suffix not in (".h5mu", ".zarr"):
        raise ValueError(f"path is {str(path)!r}; expected a name that ends in .h5mu or .zarr.")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist.")
    root = h5py.File(path, "r") if path.suffix == ".h5mu" else _open_zarr(path)
    if "mod" not in root:
        raise ValueError(f"{path} holds no modalities; expected what MuData.write() or MuData.write_zarr() wrote.")
    order = root["mod"].attrs.get("mod-order", list(root["mod"]))
    held = {key: read_elem(root[key]) for key in (*HELD, "obs", "var") if key in root}
    axis = int(root.attrs.get("axis", 0))
    return MuData({name: _modality(root["mod"][name]) for name in order}, axis=axis, **held)


def _open_zarr(path: Path) -> Any:
    try:
        import zarr
    except ImportError as error:
        raise ImportError(f"{path} is a zarr store; install zarr to read it: pip install zarr.") from error
    return zarr.open_group(path, mode="r")


def _modality(group: Any) -> AnnData:
    held = {key: read_elem(group[key]) for key in ("obs", "var", "varm", "obsp", "varp", "uns") if key in group}
    layers = {name: _table(group["layers"][name]) for name in group.get("layers", ())}
    obsm = {name: _array(group["obsm"][name]) for name in group.get("obsm", ())}
    return AnnData(_table(group["X"]) if "X" in group else None, layers=layers, obsm=obsm, **held)


def _table(element: Any) -> Any:
    """Leave a table in the file, sparse or dense."""
    kind = element.attrs.get("encoding-type", "array")
    if kind in ("csr_matrix", "csc_matrix"):
        return sparse_dataset(element)
    return element if kind == "array" else read_elem(element)


def _array(element: Any) -> Any:
    """Leave an array with three axes or more in the file; read what is smaller."""
    return element if len(getattr(element, "shape", ())) > 2 else read_elem(element)
