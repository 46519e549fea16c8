"""Fields of view and label masks, wherever they are kept, read window by window."""

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from cellprism.pp._windows import Window


class Sliceable(Protocol):
    """An array that gives numpy arrays when it is sliced: numpy, dask, zarr, h5py, a memory map."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def __getitem__(self, index: Any) -> Any:
        """Read a part."""


@dataclass(frozen=True)
class Field:
    """Pixels of (channels, height, width) or (height, width), of which only windows are read."""

    pixels: Sliceable
    channel_names: list[str] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return tuple(self.pixels.shape[-2:])

    @property
    def n_channels(self) -> int:
        """Number of channels, 1 for a plain image."""
        return self.pixels.shape[0] if len(self.pixels.shape) == 3 else 1

    @property
    def dtype(self) -> np.dtype:
        """Type of the pixels in this machine's byte order."""
        return np.dtype(self.pixels.dtype).newbyteorder("=")

    def read(self, window: Window) -> np.ndarray:
        """Pixels of one window on the field, always with channels first."""
        rows, columns = window.slices()
        read = self.pixels[rows, columns] if len(self.pixels.shape) == 2 else self.pixels[:, rows, columns]
        return np.asarray(read, dtype=self.dtype).reshape(self.n_channels, *window.shape)


def open_field(source: Any, files: ExitStack) -> Field:
    """Open an array, a file or an element of a SpatialData object without reading its pixels.

    What has to be closed afterwards is handed to ``files``.
    """
    if isinstance(source, str | Path):
        return Field(_open_file(Path(source), files))
    if is_of(source, "xarray", "DataTree"):
        source = _finest_scale(source)
    if is_of(source, "xarray", "DataArray"):
        return _open_element(source)
    return Field(source)


def open_elements(sdata: Any, labels: Any, image_key: str | None, files: ExitStack) -> tuple[Field, Field]:
    """Open an image and a labels element of a SpatialData object, told by their names."""
    name = _only(list(sdata.images)) if image_key is None else image_key
    if name not in sdata.images:
        raise KeyError(
            f"sdata.images has no {name!r}; it has {list(sdata.images)}. Pass image_key=... with one of these."
        )
    if not isinstance(labels, str) or labels not in sdata.labels:
        raise KeyError(
            f"sdata.labels has no {labels!r}; it has {list(sdata.labels)}. "
            "For a SpatialData object, masks is the name of one of these."
        )
    return open_field(sdata.images[name], files), open_field(sdata.labels[labels], files)


def is_of(value: Any, module: str, name: str) -> bool:
    """Tell an object of an optional package, which cannot exist before somebody imported that package."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(value, getattr(loaded, name))


def _only(names: list[str]) -> str:
    if len(names) != 1:
        raise ValueError(f"sdata.images has {len(names)} elements, {names}, expected image_key=... to name one.")
    return names[0]


def _finest_scale(tree: Any) -> Any:
    return next(iter(tree["scale0"].data_vars.values()))


def _open_element(element: Any) -> Field:
    element = element.transpose(*[axis for axis in ("c", "y", "x") if axis in element.dims])
    names = [str(name) for name in element.coords["c"].values] if "c" in element.coords else None
    return Field(element.data, names)


def _open_file(path: Path, files: ExitStack) -> Sliceable:
    if not path.exists():
        raise FileNotFoundError(f"No file at {path}.")
    if path.suffix == ".zarr":
        return _finest_level(_require("zarr", path).open(path, mode="r"))
    return _open_tiff(path, files)


def _open_tiff(path: Path, files: ExitStack) -> Sliceable:
    tifffile = _require("tifffile", path)
    try:
        return tifffile.memmap(path, mode="r")
    except ValueError:  # compressed or tiled: no stretch of the file is the image
        store = tifffile.imread(path, aszarr=True, level=0)
        files.callback(store.close)
        return _require("zarr", path).open(store, mode="r")


def _finest_level(opened: Any) -> Sliceable:
    """The array itself, or level "0" of a pyramid as OME-Zarr keeps it."""
    return opened if is_of(opened, "zarr", "Array") else opened["0"]


def _require(package: str, path: Path) -> ModuleType:
    try:
        return import_module(package)
    except ImportError as error:
        raise ImportError(f"Reading {path} needs {package}, which is not installed: pip install {package}") from error
