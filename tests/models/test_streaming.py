"""Models that are trained and asked while their cells lie in a file."""

import hashlib
import logging
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from mudata import MuData
from tests.contracts.pictures import NETWORKS, simulate_images
from tests.contracts.simulated import as_adata, simulate

import cellprism
from cellprism import Apollo, CrossModalVAE
from cellprism.data import _dataset
from cellprism.data._stored_slots import StoredSlots, spread
from cellprism.modalities import Counts, Features, Images

# what mudata asks anndata when it writes zarr
pytestmark = pytest.mark.filterwarnings("ignore:This setting will be removed in 0.14:DeprecationWarning:mudata")

N_CELLS = 400
PRESENT = {"rna": range(300), "protein": range(150, 400)}
QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
SMALL = {"n_shared": 3, "n_private": 2, "n_hidden": 8, "seed": 0}
EPOCHS = {CrossModalVAE: {"max_epochs": 2}, Apollo: {"max_epochs": 2, "encoder_epochs": 2}}


@pytest.fixture(autouse=True)
def small_buffers(monkeypatch) -> None:
    monkeypatch.setattr(_dataset, "MOST_CELLS", 64)


@pytest.fixture
def mdata() -> MuData:
    return simulate(N_CELLS, present=PRESENT)


@pytest.fixture
def backed(mdata, tmp_path) -> MuData:
    mdata.write_h5mu(tmp_path / "cells.h5mu")
    return cellprism.read_backed(tmp_path / "cells.h5mu")


def train(model: type, mdata: MuData, resident: bool | None = None, **settings):
    model.setup_mudata(mdata, {"rna": Counts(), "protein": Features()}, labels_key="label", batch_key="batch")
    made = model(mdata, **SMALL)
    made.train(**EPOCHS[model], resident=resident, batch_size=32, **QUIET, **settings)
    return made


def rows_read(monkeypatch) -> list[np.ndarray]:
    made: list[np.ndarray] = []
    take = StoredSlots.take
    monkeypatch.setattr(StoredSlots, "take", lambda self, rows: (made.append(rows), take(self, rows))[1])
    return made


@pytest.mark.parametrize("kind", EPOCHS)
def test_a_model_trained_from_a_file_tells_of_cells_in_memory_what_it_tells_of_the_file(kind, mdata, backed, tmp_path):
    model = train(kind, backed, resident=False)
    assert all(np.isfinite(curve.to_numpy()).all() for curve in model.history_.values())
    model.save(tmp_path / "model")
    in_memory = kind.load(tmp_path / "model", mdata, accelerator="cpu")
    for block in ("shared", "rna", "protein"):
        found, expected = (m.get_latent_representation(block=block) for m in (model, in_memory))
        np.testing.assert_allclose(found, expected, atol=1e-6)
    again = kind.load(tmp_path / "model", backed, accelerator="cpu")
    np.testing.assert_array_equal(again.get_latent_representation(), model.get_latent_representation())


@pytest.mark.parametrize("kind", EPOCHS)
def test_a_file_that_memory_holds_is_read_once_and_trains_the_same_model(kind, mdata, backed, monkeypatch):
    expected = train(kind, mdata).get_latent_representation()
    reads = rows_read(monkeypatch)
    model = train(kind, backed)
    assert [len(rows) for rows in reads] == [300, 250] * 3  # setup, model, training
    assert model._dataset.is_streamed
    np.testing.assert_array_equal(model.get_latent_representation(), expected)


def test_a_file_that_memory_does_not_hold_is_streamed(backed, monkeypatch, caplog):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10_000))
    with caplog.at_level(logging.INFO, "cellprism"):
        reads = rows_read(monkeypatch)
        train(CrossModalVAE, backed)
    assert "rows are read from the file in every epoch" in caplog.text
    assert max(len(rows) for rows in reads[4:]) <= 4 * 64
    train(CrossModalVAE, backed, resident=True)
    assert [len(rows) for rows in reads[-2:]] == [300, 250]


def test_only_training_cells_are_read_while_a_model_trains(backed, monkeypatch):
    CrossModalVAE.setup_mudata(backed, {"rna": Counts()})
    model = CrossModalVAE(backed, **SMALL)
    chosen = np.arange(40, 290)
    reads = rows_read(monkeypatch)
    model.train(max_epochs=1, train_indices=chosen, resident=False, **QUIET)
    np.testing.assert_array_equal(np.unique(np.concatenate(reads)), chosen)


def test_statistics_of_a_file_are_taken_from_two_buffers(backed, monkeypatch):
    model = CrossModalVAE(backed, **SMALL)
    seen = []
    for name, coder in model.module.coders.items():
        monkeypatch.setattr(coder, "fit_statistics", lambda rows, name=name: seen.append((name, len(rows))))
    model.train(max_epochs=1, resident=False, validation_size=0.0, **QUIET)
    assert dict(seen)["rna"] < 300
    assert all(n >= 128 for _, n in seen)


@pytest.mark.parametrize("kind", EPOCHS)
def test_verbs_give_of_a_file_what_they_give_of_memory(kind, mdata, backed, tmp_path):
    model = train(kind, mdata.copy())
    verbs = {
        "reconstruct": lambda data, **how: model.reconstruct("rna", data, **how),
        "translate": lambda data, **how: model.translate("rna", "protein", data, fill="donor", **how),
        "impute": lambda data, **how: model.impute("protein", data, **how),
    }
    for name, verb in verbs.items():
        expected = verb(mdata)
        np.testing.assert_allclose(verb(backed).X, expected.X, rtol=1e-4, atol=1e-5)
        on_disk = verb(backed, to_disk=tmp_path / f"{name}.h5ad")
        np.testing.assert_allclose(on_disk.X[:], expected.X, rtol=1e-4, atol=1e-5)
    some = np.array([301, 7, 7, 160])
    np.testing.assert_allclose(
        model.get_latent_representation(backed, indices=some),
        model.get_latent_representation(mdata, indices=some),
        atol=1e-5,
    )


@pytest.mark.parametrize("store", ["h5mu", "zarr"])
def test_images_with_masks_are_streamed(store, tmp_path):
    mdata = simulate_images(300, size=(16, 16))
    mdata["image"].obsm["mask"] = (mdata["image"].obsm["image"][:, 0] > 60).astype(np.uint8)
    path = tmp_path / f"cells.{store}"
    mdata.write_h5mu(path) if store == "h5mu" else mdata.write_zarr(path)
    backed = cellprism.read_backed(path)
    kinds = {"rna": Features(), "image": Images(mask="mask", networks=NETWORKS)}
    CrossModalVAE.setup_mudata(backed, kinds)
    model = CrossModalVAE(backed, **SMALL)
    model.train(max_epochs=1, resident=False, **QUIET)
    found = model.translate("rna", "image", backed).obsm["image"]
    np.testing.assert_allclose(found, model.translate("rna", "image", mdata).obsm["image"], atol=1e-5)


def test_one_line_makes_a_model_of_a_file(tmp_path):
    mdata = simulate_images(60, size=(32, 32))
    mdata.write_h5mu(tmp_path / "cells.h5mu")
    inferred = CrossModalVAE(cellprism.read_backed(tmp_path / "cells.h5mu"), **SMALL).registration
    assert inferred.modalities == CrossModalVAE(mdata, **SMALL).registration.modalities


def test_writing_results_leaves_the_file_alone(backed, tmp_path):
    path = tmp_path / "cells.h5mu"
    before = hashlib.sha256(path.read_bytes()).digest()
    model = train(CrossModalVAE, backed, resident=False)
    model.write()
    assert np.isfinite(backed.obsm["X_shared"]).all()
    assert hashlib.sha256(path.read_bytes()).digest() == before


def test_a_modality_without_any_count_in_a_file_cannot_be_learnt_from(mdata, tmp_path):
    mdata["rna"].X = mdata["rna"].X * 0
    mdata.write_h5mu(tmp_path / "cells.h5mu")
    with pytest.raises(ValueError, match=r"mdata\['rna'\].X holds no counts: every value is 0"):
        train(CrossModalVAE, cellprism.read_backed(tmp_path / "cells.h5mu"), resident=False)


def test_a_bad_value_deep_in_a_file_stops_training_and_names_the_slot(tmp_path):
    n_cells = 4_000
    values = np.random.default_rng(0).poisson(2.0, (n_cells, 4)).astype(np.float32)
    values[np.setdiff1d(np.arange(n_cells), spread(n_cells))[-1]] = 0.5
    MuData({"rna": as_adata(values, [f"cell {i}" for i in range(n_cells)], "rna")}).write_h5mu(tmp_path / "cells.h5mu")
    model = CrossModalVAE(cellprism.read_backed(tmp_path / "cells.h5mu"), **SMALL)
    with pytest.raises(ValueError, match=r"mdata\['rna'\].X has values that are not integers \(such as 0.5\)"):
        model.train(max_epochs=1, resident=False, **QUIET)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("resident", [True, False, None])
def test_rows_may_lie_on_the_gpu_or_be_streamed_to_it(resident, backed):
    model = train(CrossModalVAE, backed, resident=resident)
    model.train(max_epochs=1, resident=resident, enable_progress_bar=False, accelerator="gpu")
    assert np.isfinite(model.get_latent_representation()).all()
