import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from cellprism.pp import crop_cells

SIZE = 24


@pytest.fixture
def expected(field):
    return crop_cells(*field, SIZE, border="pad")


def assert_same_cells(found, expected):
    np.testing.assert_array_equal(found.obsm["image"], expected.obsm["image"])
    np.testing.assert_array_equal(found.obsm["mask"], expected.obsm["mask"])
    np.testing.assert_array_equal(found.X, expected.X)


@pytest.mark.parametrize(
    "options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}, {"byteorder": ">"}], ids=lambda options: str(options)
)
def test_tiff_files_are_read(field, expected, tmp_path, options):
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("zarr")
    paths = tmp_path / "image.tif", tmp_path / "masks.tif"
    for path, array in zip(paths, field, strict=True):
        tifffile.imwrite(path, array, photometric="minisblack", **options)
    assert_same_cells(crop_cells(paths[0], str(paths[1]), SIZE, border="pad", block_size=50), expected)


def test_dask_arrays_are_read(field, expected):
    dask_array = pytest.importorskip("dask.array")
    image, masks = (dask_array.from_array(array, chunks=40) for array in field)
    assert_same_cells(crop_cells(image, masks, SIZE, border="pad", block_size=50), expected)


def test_zarr_arrays_are_read(field, expected, tmp_path):
    zarr = pytest.importorskip("zarr")
    arrays = []
    for name, array in zip(("image", "masks"), field, strict=True):
        arrays.append(
            zarr.create_array(
                tmp_path / f"{name}.zarr", shape=array.shape, chunks=(40,) * array.ndim, dtype=array.dtype
            )
        )
        arrays[-1][...] = array
    assert_same_cells(crop_cells(*arrays, SIZE, border="pad", block_size=50), expected)
    paths = tmp_path / "image.zarr", tmp_path / "masks.zarr"
    assert_same_cells(crop_cells(*paths, SIZE, border="pad"), expected)


def test_the_finest_level_of_a_zarr_pyramid_is_read(field, expected, tmp_path):
    zarr = pytest.importorskip("zarr")
    pyramid = zarr.open_group(tmp_path / "image.zarr", mode="w")
    for level, array in enumerate([field[0], field[0][:, ::2, ::2]]):
        pyramid.create_array(str(level), shape=array.shape, chunks=(40,) * array.ndim, dtype=array.dtype)[...] = array
    assert_same_cells(crop_cells(tmp_path / "image.zarr", field[1], SIZE, border="pad"), expected)


def test_a_path_without_a_file_is_told(field, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.tif"):
        crop_cells(tmp_path / "nothing.tif", field[1], SIZE)


def test_a_missing_package_is_told_with_the_way_to_install_it(field, tmp_path, monkeypatch):
    (tmp_path / "image.tif").touch()
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(ImportError, match="pip install tifffile"):
        crop_cells(tmp_path / "image.tif", field[1], SIZE)


@pytest.fixture
def xarray_like(monkeypatch):
    """What is used of xarray and spatialdata, so that neither is needed."""

    class DataArray:
        def __init__(self, data, dims, coords):
            self.data, self.dims, self.coords = data, dims, coords

        def transpose(self, *dims):
            order = [self.dims.index(axis) for axis in dims]
            return DataArray(self.data.transpose(order), dims, self.coords)

    class DataTree(dict):
        pass

    class SpatialData:
        def __init__(self, images, labels):
            self.images, self.labels = images, labels

    for package, classes in (("xarray", (DataArray, DataTree)), ("spatialdata", (SpatialData,))):
        module = ModuleType(package)
        vars(module).update({found.__name__: found for found in classes})
        monkeypatch.setitem(sys.modules, package, module)
    return SimpleNamespace(DataArray=DataArray, DataTree=DataTree, SpatialData=SpatialData)


@pytest.fixture
def sdata(field, xarray_like):
    image, masks = field
    coordinates = {"c": SimpleNamespace(values=np.array(["DNA", "actin"]))}
    channels_last = xarray_like.DataArray(np.moveaxis(image, 0, -1), ("y", "x", "c"), coordinates)
    labels = xarray_like.DataArray(masks, ("y", "x"), {})
    pyramid = xarray_like.DataTree(scale0=SimpleNamespace(data_vars={"image": labels}))
    return xarray_like.SpatialData({"stain": channels_last}, {"cells": pyramid})


def test_elements_of_a_spatialdata_object_are_read_by_name(sdata, expected):
    cells = crop_cells(sdata, "cells", SIZE, image_key="stain", border="pad")
    assert_same_cells(cells, expected)
    assert cells.uns["channels"] == ["DNA", "actin"]


def test_the_only_image_of_a_spatialdata_object_needs_no_name(sdata, expected):
    assert_same_cells(crop_cells(sdata, "cells", SIZE, border="pad"), expected)


def test_elements_of_a_spatialdata_object_may_be_given_themselves(sdata, expected):
    cells = crop_cells(sdata.images["stain"], sdata.labels["cells"], SIZE, border="pad")
    assert_same_cells(cells, expected)


def test_names_that_a_spatialdata_object_does_not_have_are_told(sdata):
    with pytest.raises(KeyError, match=r"sdata\.labels has no 'nuclei'; it has \['cells'\]"):
        crop_cells(sdata, "nuclei", SIZE)
    with pytest.raises(KeyError, match=r"sdata\.images has no 'dapi'; it has \['stain'\]"):
        crop_cells(sdata, "cells", SIZE, image_key="dapi")


def test_one_of_several_images_has_to_be_named(sdata):
    sdata.images["other"] = sdata.images["stain"]
    with pytest.raises(ValueError, match="has 2 elements"):
        crop_cells(sdata, "cells", SIZE)


def test_an_image_key_without_a_spatialdata_object_is_refused(field):
    with pytest.raises(ValueError, match="image is a ndarray, not a SpatialData"):
        crop_cells(*field, SIZE, image_key="stain")
