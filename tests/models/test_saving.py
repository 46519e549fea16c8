"""A model file holds weights and plain values; nothing in it is ever run."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from anndata import AnnData
from tests.contracts.simulated import MOSAIC, simulate
from tests.contracts.toys.paired_autoencoder import PairedAutoencoder

from cellprism import CrossModalVAE
from cellprism.modalities import Counts, Features
from cellprism.objectives import Critic, Reconstruction


@pytest.fixture(scope="module")
def model(train) -> CrossModalVAE:
    return train(
        simulate(100, present={"rna": range(70), "protein": range(30, 100)}),
        batch_key="batch",
        labels_key="label",
        marker_key=["marker"],
        max_epochs=2,
    )


@pytest.fixture
def folder(model, tmp_path) -> Path:
    model.save(tmp_path / "model")
    return tmp_path / "model"


def test_everything_about_the_model_comes_back(model, folder):
    loaded = CrossModalVAE.load(folder, model.mdata, accelerator="cpu")
    assert loaded.registration == model.registration
    assert loaded.layout == model.layout
    assert loaded.objectives == model.objectives
    assert loaded.init_params_ == model.init_params_
    assert loaded.is_trained
    assert loaded.batch_categories == model.batch_categories == ["one", "two"]
    assert loaded.label_categories == ["a", "b", "c"]
    np.testing.assert_array_equal(loaded.train_indices, model.train_indices)
    np.testing.assert_array_equal(loaded.validation_indices, model.validation_indices)
    for name, curve in model.history.items():
        assert curve.equals(loaded.history[name])
    for name, weight in model.module.state_dict().items():
        assert torch.equal(loaded.module.state_dict()[name], weight)


def test_a_model_loads_without_data_and_takes_new_cells(model, folder):
    loaded = CrossModalVAE.load(folder, accelerator="cpu")
    np.testing.assert_array_equal(loaded.get_latent_representation(model.mdata), model.get_latent_representation())
    with pytest.raises(ValueError, match=r"was loaded without data. Load it with load\(path, mdata\), or pass mdata="):
        loaded.get_latent_representation()
    with pytest.raises(ValueError, match="was loaded without data"):
        loaded.train(max_epochs=1)


def test_a_loaded_model_trains_on(model, folder):
    loaded = CrossModalVAE.load(folder, model.mdata, accelerator="cpu")
    loaded.train(max_epochs=1, enable_progress_bar=False, accelerator="cpu")
    assert loaded.history["train_loss_epoch"].index.tolist() == [0, 1, 2]


def test_data_may_be_saved_beside_the_model(model, tmp_path):
    model.save(tmp_path / "model", save_mudata=True)
    loaded = CrossModalVAE.load(tmp_path / "model", accelerator="cpu")
    np.testing.assert_allclose(loaded.get_latent_representation(), model.get_latent_representation(), atol=1e-6)


def test_features_of_the_data_may_lie_in_another_order(model, folder):
    other = simulate(100, present={"rna": range(70), "protein": range(30, 100)})
    reordered = other.copy()
    reordered.mod["rna"] = other["rna"][:, ::-1].copy()
    reordered.update()
    loaded = CrossModalVAE.load(folder, reordered, accelerator="cpu")
    np.testing.assert_allclose(loaded.get_latent_representation(), model.get_latent_representation(), atol=1e-5)


def test_features_that_differ_at_load_are_named(folder):
    other = simulate(100)
    other.mod["rna"].var_names = [f"ENSG{i}" for i in range(12)]
    other.update()
    with pytest.raises(ValueError, match=r"mdata\['rna'\]\.var_names lack 12 of the 12 features .*'rna_0'"):
        CrossModalVAE.load(folder, other, accelerator="cpu")


def test_an_existing_folder_is_not_overwritten_silently(model, folder):
    with pytest.raises(FileExistsError, match=r"exists. Choose another folder or pass overwrite=True"):
        model.save(folder)
    model.save(folder, overwrite=True)


def test_an_untrained_model_is_saved_and_loaded(tmp_path):
    mdata = simulate()
    model = CrossModalVAE(mdata, n_hidden=8, seed=0)
    model.save(tmp_path / "model")
    loaded = CrossModalVAE.load(tmp_path / "model", mdata, accelerator="cpu")
    assert not loaded.is_trained
    with pytest.raises(RuntimeError, match="is not trained"):
        loaded.get_latent_representation()
    loaded.train(max_epochs=1, enable_progress_bar=False, accelerator="cpu")


def test_the_model_of_one_anndata_is_saved_and_loaded(train, tmp_path):
    adata: AnnData = simulate(kinds={"rna": "sparse"})["rna"].copy()
    model = train(adata)
    model.save(tmp_path / "model")
    loaded = CrossModalVAE.load(tmp_path / "model", adata, accelerator="cpu")
    np.testing.assert_array_equal(loaded.get_latent_representation(), model.get_latent_representation())


@pytest.mark.usefixtures("unchecked_types")
def test_settings_may_be_numpy_numbers(train, tmp_path):
    mdata = simulate(present=MOSAIC)
    sizes: dict[str, Any] = {"n_shared": np.int64(3), "n_hidden": np.int64(8), "seed": np.int64(1)}
    model = train(mdata, objectives=[Reconstruction(weight=np.float64(0.5)), Critic(n_steps=np.int64(1))], **sizes)
    model.write()
    model.save(tmp_path / "model")
    loaded = CrossModalVAE.load(tmp_path / "model", mdata, accelerator="cpu")
    np.testing.assert_array_equal(loaded.get_latent_representation(), model.get_latent_representation())


@pytest.mark.parametrize("name", ["rna.1", "train", "kind", "a b", "it's", "a/b", "__class__"])
def test_modalities_may_have_any_name(name, train, tmp_path):
    mdata = simulate(kinds={name: "sparse", "protein": "features"}, present={name: range(30), "protein": range(20, 40)})
    model = train(mdata, modalities={name: Counts(), "protein": Features()})
    assert np.isfinite(model.translate("protein", name).X).all()
    assert np.isfinite(model.get_latent_representation(block=name)).any()
    model.save(tmp_path / "model")
    loaded = CrossModalVAE.load(tmp_path / "model", mdata, accelerator="cpu")
    np.testing.assert_array_equal(loaded.get_latent_representation(), model.get_latent_representation())


# ---- files that are not ours


def test_a_missing_file_says_what_to_give(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model\.pt does not exist. Give the folder that save\(\) wrote"):
        CrossModalVAE.load(tmp_path)


@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, 0.99])
def test_a_file_that_was_cut_short_is_refused(folder, keep):
    path = folder / "model.pt"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    with pytest.raises(ValueError, match=r"cannot be read as a cellprism model: it is damaged, cut short, or holds"):
        CrossModalVAE.load(folder)


def test_a_file_with_other_bytes_is_refused(folder):
    path = folder / "model.pt"
    whole = bytearray(path.read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 2000] = bytes(2000)
    path.write_bytes(bytes(whole))
    with pytest.raises(ValueError, match="cannot be read as a cellprism model"):
        CrossModalVAE.load(folder)


@pytest.mark.parametrize("content", [b"not a model", b"PK\x03\x04 not a zip", pickle.dumps({"a": 1})])
def test_a_foreign_file_is_refused(tmp_path, content):
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot be read as a cellprism model|not a model that cellprism wrote"):
        CrossModalVAE.load(tmp_path)


@pytest.mark.parametrize("content", [{"model_state_dict": {}}, [1, 2], {"format": "cellprism model 999"}])
def test_a_torch_file_of_something_else_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="is not a model that cellprism wrote"):
        CrossModalVAE.load(tmp_path)


class _RunsCode:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def test_code_in_a_file_is_not_run(tmp_path):
    trace = tmp_path / "trace"
    for write in (torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))):
        write({"format": "cellprism model 1", "model": _RunsCode(trace)}, tmp_path / "model.pt")
        with pytest.raises(ValueError, match="Nothing in it was executed"):
            CrossModalVAE.load(tmp_path)
        assert not trace.exists()
    pickle.loads((tmp_path / "model.pt").read_bytes())
    assert trace.exists(), "the file would have run code, had it been read carelessly"


def test_the_file_of_another_class_names_it(folder):
    with pytest.raises(ValueError, match=r"holds a CrossModalVAE; load it with CrossModalVAE\.load"):
        PairedAutoencoder.load(folder)
