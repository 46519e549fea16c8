import tracemalloc

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from tests.contracts.pictures import CHANNELS, NETWORKS, as_images, as_type, image_data, spots
from tests.contracts.simulated import as_adata, factors, linear_features

from cellprism.data import ImageRows
from cellprism.modalities import Features, Images, infer_modality
from cellprism.modalities._image_layout import channel_names

N_CELLS = 12


def fractions_of(n_channels: int = 2) -> np.ndarray:
    return np.round(spots(factors(N_CELLS), n_channels=n_channels, dtype="float64") * 255) / 255


def stored_as(dtype: str, **settings) -> AnnData:
    return as_images(as_type(fractions_of(**settings), dtype), [f"c{i}" for i in range(N_CELLS)])


def read(adata: AnnData, **settings) -> ImageRows:
    return Images(networks=NETWORKS, **settings).completed(adata, "adata").read(adata, "adata", None)


@pytest.mark.parametrize(("dtype", "top"), [("uint8", 255), ("uint16", 65535), ("float32", 1), ("float64", 1)])
def test_images_are_fractions_of_the_range_of_their_type(dtype, top):
    adata = stored_as(dtype)
    expected = adata.obsm["image"].astype(float) / top
    np.testing.assert_allclose(read(adata).fractions().numpy(), expected, rtol=1e-6)


def test_intensities_above_the_signed_range_are_read_right():
    adata = stored_as("uint16")
    adata.obsm["image"][:4, 0, 0, 0] = [32767, 32768, 40000, 65535]
    rows = read(adata)
    assert rows.dense()[:4, 0, 0, 0].tolist() == [32767, 32768, 40000, 65535]
    assert rows.take(torch.tensor([3, 1])).dense()[:, 0, 0, 0].tolist() == [65535, 32768]
    assert float(rows.fractions()[3, 0, 0, 0]) == 1.0


@pytest.mark.parametrize(
    ("dtype", "held"),
    [("uint8", torch.uint8), ("uint16", torch.int16), ("float16", torch.float32), ("float64", torch.float32)],
)
def test_images_are_held_in_a_type_of_no_more_bytes_than_float32(dtype, held):
    assert read(stored_as(dtype)).stored.dtype == held


@pytest.mark.parametrize("order", ["C", "channels last"])
def test_reading_copies_the_images_once_and_never_as_floating_point_numbers(order):
    images = np.random.default_rng(0).integers(0, 255, (3000, 2, 32, 32), dtype=np.uint8)
    if order != "C":
        images = np.moveaxis(np.ascontiguousarray(np.moveaxis(images, 1, -1)), -1, 1)
    adata = as_images(images, [f"c{i}" for i in range(3000)])
    modality = Images(networks=NETWORKS)
    modality.read(adata, "adata", None)
    tracemalloc.start()
    rows = modality.read(adata, "adata", None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(rows) == 3000
    assert peak < images.nbytes * (1.3 if order == "C" else 2.3)


def test_channels_are_found_by_name_in_the_order_asked_for():
    adata = stored_as("uint8", n_channels=3)
    rows = read(adata, channels=("tubulin", "DAPI"))
    np.testing.assert_array_equal(rows.dense().numpy(), adata.obsm["image"][:, [2, 0]])
    one = read(adata, channels=("actin",))
    np.testing.assert_array_equal(one.dense().numpy(), adata.obsm["image"][:, [1]])


@pytest.mark.usefixtures("unchecked_types")
def test_one_channel_may_be_given_as_a_word():
    completed = Images(channels="actin", networks=NETWORKS).completed(stored_as("uint8"), "adata")
    assert completed.channels == ("actin",)


def test_channels_of_new_data_are_read_by_name_in_whatever_order_they_lie():
    adata = stored_as("uint8", n_channels=3)
    modality = Images(channels=("DAPI", "tubulin"), networks=NETWORKS).completed(adata, "adata")
    other = as_images(adata.obsm["image"][:, [2, 1, 0]], adata.obs_names, CHANNELS[::-1])
    expected = modality.read(adata, "adata", None).dense()
    assert torch.equal(modality.read(other, "adata", None).dense(), expected)
    assert modality.feature_names(other) == ["DAPI", "tubulin"]


def test_names_of_channels_are_those_of_the_data_or_numbers():
    assert channel_names(stored_as("uint8"), "image", 2, "adata") == ["DAPI", "actin"]
    nameless = as_images(stored_as("uint8").obsm["image"], [f"c{i}" for i in range(N_CELLS)], None)
    assert channel_names(nameless, "image", 2, "adata") == ["channel 0", "channel 1"]
    nameless.uns["image"] = {"channel_names": np.array(["DNA", "Golgi"])}
    assert channel_names(nameless, "image", 2, "adata") == ["DNA", "Golgi"]


def test_a_table_of_measured_channels_is_read_by_name_or_by_place():
    adata = image_data(N_CELLS)
    measured = adata.obsm["measured"]
    adata.obsm["table"] = pd.DataFrame(measured[:, ::-1], index=adata.obs_names, columns=["actin", "DAPI"])
    adata.obsm["numbers"] = measured.astype(float)
    for key in ("measured", "table", "numbers"):
        rows = read(adata, measured=key, channels=("actin", "DAPI"))
        np.testing.assert_array_equal(rows.measured.numpy(), measured[:, ::-1])


def test_masks_may_have_an_axis_of_channels_or_none():
    adata = image_data(N_CELLS)
    adata.obsm["labels"] = adata.obsm["mask"][:, None].astype(np.uint16) * 7
    expected = read(adata, mask="mask").mask
    assert torch.equal(read(adata, mask="labels").mask, expected)
    np.testing.assert_array_equal(expected.numpy()[:, 0], adata.obsm["mask"])


@pytest.mark.parametrize("arrange", [np.asfortranarray, lambda x: x.repeat(2, axis=3)[..., ::2], lambda x: x[::-1]])
def test_arrays_that_are_not_contiguous_are_read_and_left_as_they_are(arrange):
    adata = stored_as("uint8")
    adata.obsm["image"] = images = arrange(adata.obsm["image"])
    strides, before = images.strides, images.copy()
    rows = read(adata)
    np.testing.assert_array_equal(rows.dense().numpy(), before)
    assert adata.obsm["image"] is images
    assert images.strides == strides
    np.testing.assert_array_equal(images, before)


def test_arrays_of_four_axes_are_inferred_to_be_images_unless_they_are_predictions():
    images = stored_as("uint8").obsm["image"]
    adata = as_adata(linear_features(factors(N_CELLS), 3, 1), [f"c{i}" for i in range(N_CELLS)], "feature")
    adata.obsm["image_reconstructed"] = adata.obsm["dna_translated_from_rna"] = np.float32(images)
    assert infer_modality(adata, "adata")[0] == Features()
    adata.obsm["nuclei"] = images
    modality, reason = infer_modality(adata, "adata")
    assert modality == Images("nuclei")
    assert reason == ".obsm['nuclei'] has four axes"
    adata.obsm["image"] = images
    assert infer_modality(adata, "adata")[0] == Images()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": ("DAPI", "DAPI")}, r"Images has channels .* expected distinct names"),
        ({"scale": "max"}, "Images has scale 'max'; expected one of 'dtype', 'percentile', 'cell'"),
        ({"likelihood": "poisson"}, "Images has likelihood 'poisson'; expected 'gaussian' or 'bernoulli'"),
        (
            {"percentiles": (99.0, 1.0)},
            r"Images has percentiles \(99.0, 1.0\); expected two rising numbers in 0 to 100",
        ),
        ({"foreground_weight": -1.0}, "Images has foreground_weight=-1.0; expected at least 0"),
        ({"structural_similarity": -1.0}, "Images has structural_similarity=-1.0"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        Images(**settings)
