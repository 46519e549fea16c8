"""A modality, an objective and a model, each in one file of its own, work together with no edit elsewhere."""

import re
from pathlib import Path

import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData
from tests.contracts.simulated import MOSAIC, factors, linear_features, simulate
from tests.contracts.toys.compactness import Compactness
from tests.contracts.toys.paired_autoencoder import PairedAutoencoder
from tests.contracts.toys.profile import Profile

from cellprism import CrossModalVAE
from cellprism._record import Record
from cellprism.modalities import Counts
from cellprism.models import LatentModel
from cellprism.objectives import Reconstruction

REPOSITORY = Path(__file__).resolve().parents[2]


def mosaic_with_profiles() -> MuData:
    rna = simulate(present=MOSAIC, kinds={"rna": "sparse", "protein": "features"})["rna"]
    cells = simulate(present=MOSAIC)["protein"].obs_names
    traces = AnnData(obs=pd.DataFrame(index=cells))
    traces.obsm["trace"] = linear_features(factors(len(cells)), 12, 5).reshape(-1, 3, 4)
    return MuData({"rna": rna, "trace": traces})


def trained(mdata: MuData, model_class: type[LatentModel] = PairedAutoencoder) -> LatentModel:
    model_class.setup_mudata(mdata, {"rna": Counts(), "trace": Profile(key="trace")})
    model = model_class(mdata, n_shared=3, objectives=[Reconstruction(), Compactness(weight=0.5, radius=2.0)], seed=0)
    model.train(max_epochs=2, enable_progress_bar=False, accelerator="cpu")
    return model


@pytest.mark.parametrize("model_class", [PairedAutoencoder, CrossModalVAE])
def test_toy_parts_train_and_predict_the_shape_of_a_measurement(model_class):
    mdata = mosaic_with_profiles()
    model = trained(mdata, model_class)
    assert {"reconstruction_trace_train", "compactness_rna_train", "compactness_trace_train"} <= set(model.history)
    assert model.translate("rna", "trace").obsm["trace"].shape == (30, 3, 4)
    assert model.impute("trace").obsm["trace"].shape == (20, 3, 4)
    sampled = model.reconstruct("trace", n_samples=3)
    assert sampled.obsm["trace_std"].shape == (20, 3, 4)
    assert (sampled.obsm["trace_std"] > 0).any()


def test_toy_parts_are_saved_and_loaded(tmp_path):
    mdata = mosaic_with_profiles()
    model = trained(mdata)
    model.save(tmp_path / "model")
    loaded = PairedAutoencoder.load(tmp_path / "model", mdata, accelerator="cpu")
    assert loaded.objectives == model.objectives
    assert loaded.registration == model.registration
    np.testing.assert_array_equal(loaded.get_latent_representation(), model.get_latent_representation())
    np.testing.assert_array_equal(
        loaded.translate("rna", "trace").obsm["trace"], model.translate("rna", "trace").obsm["trace"]
    )


def test_toy_predictions_are_written_twice_and_survive_a_file(tmp_path):
    mdata = mosaic_with_profiles()
    model = trained(mdata)
    model.write()
    model.write()
    assert mdata["trace"].obsm["trace_reconstructed"].shape == (20, 3, 4)
    assert mdata["trace"].obsm["trace_translated_from_rna"].shape == (20, 3, 4)
    assert mdata["rna"].obsm["trace_translated"].shape == (30, 3, 4)
    mdata.write_h5mu(tmp_path / "data.h5mu")
    again = mudata.read_h5mu(tmp_path / "data.h5mu")
    np.testing.assert_array_equal(again["rna"].obsm["trace_translated"], mdata["rna"].obsm["trace_translated"])


def test_a_foreign_array_where_toy_predictions_go_is_not_overwritten():
    mdata = mosaic_with_profiles()
    model = trained(mdata)
    mdata["trace"].obsm["trace_reconstructed"] = np.zeros((20, 1))
    with pytest.raises(ValueError, match=r"mdata\['trace'\]\.obsm/trace_reconstructed"):
        model.write()
    assert "X_shared" not in mdata.obsm


def test_each_toy_is_one_file_that_no_engine_file_mentions():
    source = REPOSITORY / "src" / "cellprism"
    engine = [path for path in source.rglob("*.py") if path.relative_to(source).parts[0] not in ("pp", "tl", "pl")]
    for name in ("Profile", "Compactness", "PairedAutoencoder"):
        found = [path for path in engine if re.search(rf"\b{name}\b", path.read_text(encoding="utf-8"))]
        assert not found, f"{name} is spoken of in {found}"


@pytest.mark.parametrize("part", ["Profile", "Compactness"])
def test_a_saved_part_whose_module_was_not_imported_is_named(tmp_path, monkeypatch, part):
    trained(mosaic_with_profiles()).save(tmp_path / "model")
    monkeypatch.delitem(Record._kinds, part)
    with pytest.raises(ValueError, match=rf"kind '{part}'.*import the module that defines it"):
        PairedAutoencoder.load(tmp_path / "model")
