"""What every model must do, also one that a user writes."""

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from tests.contracts.simulated import MOSAIC, UNPAIRED, cell_names, factors, simulate
from tests.contracts.toys.paired_autoencoder import PairedAutoencoder

from cellprism import Apollo, CrossModalVAE, _keys
from cellprism.modalities import Counts, Features
from cellprism.models import LatentModel

SMALL: dict[str, Any] = {"n_shared": 3, "n_private": 2, "n_hidden": 8}
QUIET: dict[str, Any] = {"enable_progress_bar": False, "accelerator": "cpu"}
THREE = {"rna": "sparse", "protein": "features", "atac": "counts"}
LEAST_R2 = 0.7
"""Share of the variance of simulated shared factors that a linear map of the shared block must explain."""


@pytest.fixture(params=[Apollo, CrossModalVAE, PairedAutoencoder], ids=lambda model: model.__name__)
def model_class(request) -> type[LatentModel]:
    return request.param


def trained(model_class: type[LatentModel], mdata: Any, *, seed: int = 0, max_epochs: int = 1, **sizes: Any) -> Any:
    model = model_class(mdata, seed=seed, **(SMALL | sizes))
    model.train(max_epochs=max_epochs, **QUIET)
    return model


def test_the_same_seed_gives_the_same_model(model_class):
    first, second = (trained(model_class, simulate(), max_epochs=2) for _ in range(2))
    np.testing.assert_array_equal(first.get_latent_representation(), second.get_latent_representation())
    for name in set(first.history) - set(_keys.COSTS):
        assert first.history[name].equals(second.history[name])


def test_another_seed_gives_another_model(model_class):
    mdata = simulate(120, kinds={"rna": "features", "protein": "features"}, n_features=20)
    first, second = (trained(model_class, mdata, seed=seed) for seed in (0, 1))
    assert not np.allclose(first.get_latent_representation(), second.get_latent_representation())


def test_a_saved_model_gives_the_same_latents_and_predictions(model_class, tmp_path):
    mdata = simulate(present=MOSAIC)
    model = trained(model_class, mdata)
    model.save(tmp_path / "model")
    loaded = model_class.load(tmp_path / "model", mdata, accelerator="cpu")
    for block, modality in (("shared", None), ("shared", "rna"), ("rna", None), ("protein", None)):
        np.testing.assert_array_equal(
            loaded.get_latent_representation(block=block, modality=modality),
            model.get_latent_representation(block=block, modality=modality),
        )
    for fill in ("shared", "mean", "sample", "donor"):
        expected = model.translate("rna", "protein", fill=fill).X
        np.testing.assert_array_equal(loaded.translate("rna", "protein", fill=fill).X, expected)


@pytest.mark.parametrize(
    ("kinds", "present"),
    [
        ({"rna": "sparse"}, None),
        (None, None),
        (None, UNPAIRED),
        (None, MOSAIC),
        (THREE, None),
        (THREE, {"rna": range(20), "protein": range(10, 30), "atac": [39, *range(25, 35)]}),
    ],
    ids=["one modality", "paired", "unpaired", "mosaic", "three modalities", "three modalities, mosaic"],
)
def test_latents_are_finite_where_a_cell_was_measured_and_nan_elsewhere(model_class, kinds, present):
    mdata = simulate(kinds=kinds, present=present, shuffle=True)
    model = trained(model_class, mdata)
    assert np.isfinite(model.get_latent_representation()).all()
    for name in mdata.mod:
        measured = mdata.obs_names.isin(mdata.mod[name].obs_names)
        for block in ("shared", name):
            latents = model.get_latent_representation(block=block, modality=name)
            np.testing.assert_array_equal(np.isfinite(latents).all(axis=1), measured)
            np.testing.assert_array_equal(np.isnan(latents).all(axis=1), ~measured)
        assert np.isfinite(model.reconstruct(name).X).all()


@pytest.mark.parametrize("present", [None, {"rna": range(160), "protein": range(80, 240)}], ids=["paired", "mosaic"])
def test_shared_factors_of_held_out_cells_are_recovered(model_class, present):
    n_cells = 240
    kinds = {"rna": "features", "protein": "features"}
    mdata = simulate(n_cells, kinds=kinds, present=present, n_features=20)
    truth = truth_of(mdata, n_cells)
    held_out = np.random.default_rng(0).random(mdata.n_obs) < 0.25
    modalities = {"rna": Features(), "protein": Features()}
    model_class.setup_mudata(mdata, modalities)
    model = model_class(mdata, seed=0, n_shared=6, n_private=3, n_hidden=32)
    model.train(max_epochs=25, train_indices=np.flatnonzero(~held_out), learning_rate=1e-2, batch_size=64, **QUIET)
    latents = model.get_latent_representation()
    fitted = LinearRegression().fit(latents[~held_out], truth[~held_out])
    assert fitted.score(latents[held_out], truth[held_out]) > LEAST_R2


def truth_of(mdata: Any, n_cells: int) -> np.ndarray:
    """Simulated factors, in the order of the data."""
    position = {name: i for i, name in enumerate(cell_names(n_cells))}
    return factors(n_cells)[[position[name] for name in mdata.obs_names]]


def test_a_model_of_counts_and_features_beats_the_mean_profile_at_translation(model_class):
    mdata = simulate(240, kinds={"rna": "sparse", "protein": "features"}, n_features=20)
    model_class.setup_mudata(mdata, {"rna": Counts(), "protein": Features()})
    held_out = np.arange(240) % 4 == 0
    model = model_class(mdata, seed=0, n_shared=6, n_private=3, n_hidden=32)
    model.train(max_epochs=25, train_indices=np.flatnonzero(~held_out), learning_rate=1e-2, batch_size=64, **QUIET)
    observed = np.asarray(mdata["protein"].X)
    predicted = model.translate("rna", "protein", indices=np.flatnonzero(held_out)).X
    residual = np.square(observed[held_out] - predicted).sum()
    spread = np.square(observed[held_out] - observed[~held_out].mean(0)).sum()
    assert 1 - residual / spread > 0.2
