"""What every kind of measurement must do, also one that a user writes."""

import json
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from mudata import MuData
from scipy import sparse
from tests.contracts.pictures import NETWORKS, image_data
from tests.contracts.simulated import as_adata, counts, factors, linear_features
from tests.contracts.toys.profile import Profile

from cellprism.data import CellManager, DenseRows, ModalityField, Rows, SparseRows
from cellprism.modalities import (
    Architecture,
    Coder,
    Counts,
    Features,
    Images,
    Modality,
    Peaks,
    StridedConvolutions,
    Tabular,
)

N_CELLS = 17
N_FEATURES = 11
N_BATCHES = 2
WIDTHS = {"full": 5, "shared": 3}


@dataclass(frozen=True)
class Kind:
    """A modality, data for it, and a slot that holds them."""

    modality: Modality
    adata: AnnData

    @property
    def path(self) -> str:
        return f"obsm['{self.modality.key}']" if isinstance(self.modality, Images | Profile) else "X"

    @property
    def values(self) -> np.ndarray:
        """The measurements in the user's object, not a copy."""
        is_in_obsm = isinstance(self.modality, Images | Profile)
        return self.adata.obsm[self.modality.key] if is_in_obsm else np.asarray(self.adata.X)

    def read(self) -> Rows:
        return self.modality.read(self.adata, "mdata['m']", None)

    def coder(self, seed: int = 0) -> Coder:
        torch.manual_seed(seed)
        architecture = Architecture(n_hidden=8, n_layers=2, dropout_rate=0.0)
        coder = self.modality.coder(self.modality.shape(self.adata), WIDTHS, N_BATCHES, architecture)
        coder.fit_statistics(self.read())
        return coder.eval()


def count_data() -> AnnData:
    values = counts(factors(N_CELLS), N_FEATURES, 1)
    values[3] = 0
    values[:, 4] = 0
    return as_adata(values, [f"c{i}" for i in range(N_CELLS)], "gene")


def binary_data() -> AnnData:
    adata = count_data()
    adata.X = np.float32(np.median(adata.X, axis=0) < adata.X)
    return adata


def continuous_data() -> AnnData:
    values = linear_features(factors(N_CELLS), N_FEATURES, 1)
    values[:, 4] = 2.5
    values[3] = 0
    return as_adata(values, [f"c{i}" for i in range(N_CELLS)], "feature")


def profile_data() -> AnnData:
    adata = AnnData(obs=pd.DataFrame(index=[f"c{i}" for i in range(N_CELLS)]))
    adata.obsm["profile"] = linear_features(factors(N_CELLS), 12, 1).reshape(N_CELLS, 3, 4)
    return adata


def images(dtype: str = "uint8", **settings) -> Kind:
    adata = image_data(N_CELLS, dtype=dtype)
    adata.obsm["image"][~adata.obsm["measured"]] = 0
    return Kind(Images(**({"networks": NETWORKS} | settings)).completed(adata, "mdata['m']"), adata)


KINDS = {
    "counts nb": lambda: Kind(Counts(), count_data()),
    "counts zinb": lambda: Kind(Counts(likelihood="zinb"), count_data()),
    "counts poisson": lambda: Kind(Counts(likelihood="poisson"), count_data()),
    "peaks bernoulli": lambda: Kind(Peaks(), count_data()),
    "peaks poisson": lambda: Kind(Peaks(likelihood="poisson"), count_data()),
    "peaks binary input": lambda: Kind(Peaks(transform="binary"), count_data()),
    "features gaussian": lambda: Kind(Features(), continuous_data()),
    "features bernoulli": lambda: Kind(Features(likelihood="bernoulli"), binary_data()),
    "images uint8": images,
    "images uint16": lambda: images("uint16"),
    "images float": lambda: images("float32"),
    "images bernoulli": lambda: images(likelihood="bernoulli"),
    "images percentile": lambda: images("float64", scale="percentile", structural_similarity=0.5),
    "images cell": lambda: images(scale="cell"),
    "images strided": lambda: images(networks=StridedConvolutions((4, 8))),
    "images with mask": lambda: images(mask="mask"),
    "images with stains": lambda: images(identity="stain"),
    "images measured in part": lambda: images(measured="measured", identity="stain"),
    "toy profile": lambda: Kind(Profile(), profile_data()),
}
TABLES = [name for name, make in KINDS.items() if isinstance(make().modality, Tabular)]
FLOATING = [name for name, make in KINDS.items() if make().values.dtype.kind == "f"]
"""Kinds whose data can hold NaN."""


@pytest.fixture(params=KINDS)
def kind(request) -> Kind:
    return KINDS[request.param]()


@pytest.fixture(params=TABLES)
def table(request) -> Kind:
    return KINDS[request.param]()


def batches(n_cells: int = N_CELLS) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.arange(n_cells) % N_BATCHES, N_BATCHES).float()


def latent(path: str, n_cells: int = N_CELLS) -> torch.Tensor:
    return torch.randn(n_cells, WIDTHS[path], generator=torch.Generator().manual_seed(3))


def score(coder: Coder, rows: Rows, path: str = "full") -> torch.Tensor:
    covariates = coder.covariates(rows, batches(len(rows)))
    return coder.log_likelihood(coder.decode(path, latent(path, len(rows)), covariates), rows)


def as_sparse(rows: DenseRows) -> SparseRows:
    return SparseRows.from_scipy(sparse.csr_matrix(rows.values.numpy()))


def test_a_modality_registers_names_and_shape_as_plain_values(kind):
    manager = CellManager(
        fields=[ModalityField("m", kind.modality)],
        setup_method_args={"model_name": "", "setup_method_name": "", "setup_args": {}},
    )
    manager.register_fields(MuData({"m": kind.adata}))
    state = manager.state("modality m")
    assert json.loads(json.dumps(state)) == state
    assert tuple(state["shape"]) == kind.values.shape[1:]
    assert state["features"] == kind.modality.feature_names(kind.adata)


def test_settings_survive_plain_values(kind):
    assert Modality.from_plain(json.loads(json.dumps(kind.modality.to_plain()))) == kind.modality


def test_rows_are_the_measurements(kind):
    np.testing.assert_array_equal(kind.read().dense().numpy(), np.float32(kind.values))


def test_features_are_read_in_the_order_asked_for(kind):
    order = np.arange(kind.values.shape[1])[::-1]
    rows = kind.modality.read(kind.adata, "mdata['m']", order)
    np.testing.assert_array_equal(rows.dense().numpy(), np.float32(kind.values[:, order]))


def test_the_user_object_is_copied(kind):
    rows = kind.read()
    before = rows.dense().clone()
    kind.values[:] = 99
    assert torch.equal(rows.dense(), before)


def test_every_decoder_gives_the_shape_of_a_measurement(kind):
    coder = kind.coder()
    for path in WIDTHS:
        likelihood = coder.decode(path, latent(path), coder.covariates(kind.read(), batches()))
        assert likelihood.mean.shape == kind.values.shape
        assert torch.isfinite(likelihood.mean).all()


def test_features_of_the_encoder_have_the_stated_width(kind):
    coder = kind.coder()
    assert coder.encode(kind.read(), batches()).shape == (N_CELLS, coder.n_hidden)
    assert coder.n_features == np.prod(kind.values.shape[1:])


@pytest.mark.parametrize("path", WIDTHS)
def test_there_is_one_finite_log_likelihood_per_cell(kind, path):
    log_likelihood = score(kind.coder(), kind.read(), path)
    assert log_likelihood.shape == (N_CELLS,)
    assert torch.isfinite(log_likelihood).all()


def test_a_cell_is_encoded_and_scored_as_if_it_were_alone(kind):
    coder, rows = kind.coder(), kind.read()
    alone = rows.take(torch.tensor([5]))
    torch.testing.assert_close(coder.encode(alone, batches()[5:6]), coder.encode(rows, batches())[5:6])
    own = coder.decode("full", latent("full")[5:6], coder.covariates(alone, batches()[5:6]))
    torch.testing.assert_close(coder.log_likelihood(own, alone), score(coder, rows)[5:6])


def test_batches_reach_encoder_and_decoder(kind):
    coder, rows = kind.coder(), kind.read()
    other = 1 - batches()
    assert not torch.allclose(coder.encode(rows, batches()), coder.encode(rows, other))
    first, second = (coder.decode("full", latent("full"), coder.covariates(rows, b)).mean for b in (batches(), other))
    assert not torch.allclose(first, second)


def test_gradients_stay_finite_for_cells_without_counts(kind):
    coder, rows = kind.coder(), kind.read()
    (score(coder, rows).sum() + coder.encode(rows, batches()).square().sum()).backward()
    gradients = [p.grad for p in coder.parameters() if p.grad is not None]
    assert len(gradients) > 3
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def test_statistics_travel_with_the_weights(kind):
    trained, other = kind.coder(seed=0), kind.coder(seed=1)
    other.load_state_dict(trained.state_dict())
    rows = kind.read()
    assert torch.equal(trained.encode(rows, batches()), other.encode(rows, batches()))
    assert torch.equal(score(trained, rows), score(other, rows))


def test_sparse_and_dense_rows_agree_in_values_and_gradients(table):
    dense_rows, results = table.read(), []
    for rows in (dense_rows, as_sparse(dense_rows)):
        coder = table.coder()
        features, log_likelihood = coder.encode(rows, batches()), score(coder, rows)
        weights = torch.arange(1.0, N_CELLS + 1)
        (log_likelihood @ weights + (features.T @ weights).square().sum()).backward()
        gradients = {name: p.grad for name, p in coder.named_parameters() if p.grad is not None}
        results.append((features.detach(), log_likelihood.detach(), gradients))
    (features, likelihood, gradients), (sparse_features, sparse_likelihood, sparse_gradients) = results
    torch.testing.assert_close(sparse_features, features, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sparse_likelihood, likelihood, rtol=1e-5, atol=1e-5)
    assert gradients.keys() == sparse_gradients.keys()
    for name, gradient in gradients.items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(sparse_gradients[name], gradient, rtol=1e-5, atol=1e-5 * max(scale, 1e-3))


def test_sparse_and_dense_rows_give_the_same_statistics(table):
    dense_coder, sparse_coder = table.coder(), table.coder(seed=1)
    sparse_coder.fit_statistics(as_sparse(table.read()))
    for (name, expected), (_, found) in zip(dense_coder.named_buffers(), sparse_coder.named_buffers(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6, msg=name)


def test_zeros_that_are_stored_count_as_zeros(table):
    rows = as_sparse(table.read())
    matrix = sparse.csr_matrix(table.read().values.numpy() + 1)
    matrix.data -= 1
    stored = SparseRows.from_scipy(matrix)
    coder = table.coder()
    assert len(stored.values) > len(rows.values)
    torch.testing.assert_close(score(coder, stored), score(coder, rows))
    torch.testing.assert_close(coder.encode(stored, batches()), coder.encode(rows, batches()))


def test_predictions_are_written_under_the_slot_that_is_told(kind):
    state = {"features": kind.modality.feature_names(kind.adata), "shape": list(kind.modality.shape(kind.adata))}
    values = np.random.default_rng(0).random(kind.values.shape, dtype=np.float32)
    own, foreign = kind.adata.copy(), as_adata(np.ones((N_CELLS, 2)), kind.adata.obs_names, "other")
    told = kind.modality.write_own(own, "predicted", values, state)
    told_foreign = kind.modality.write_foreign(foreign, "m_translated", values, state)
    assert told == kind.modality.own_slot("predicted")
    assert told_foreign == kind.modality.foreign_slot("m_translated")
    for adata, slot in ((own, told), (foreign, told_foreign)):
        place, key = slot.split("/", 1)
        np.testing.assert_array_equal(np.asarray(getattr(adata, place)[key]), values)


def test_predictions_make_an_anndata_of_their_own(kind):
    state = {"features": kind.modality.feature_names(kind.adata), "shape": list(kind.modality.shape(kind.adata))}
    values = np.random.default_rng(0).random(kind.values.shape, dtype=np.float32)
    made = kind.modality.new_anndata(values, kind.adata.obs, state)
    np.testing.assert_array_equal(Kind(kind.modality, made).values, values)
    assert kind.modality.feature_names(made) == kind.modality.feature_names(kind.adata)
    assert made.obs_names.equals(kind.adata.obs_names)


def test_predictions_are_written_in_the_order_of_the_data_with_nan_for_unknown_features(table):
    known = table.modality.feature_names(table.adata)
    state = {"features": known[1:], "shape": [N_FEATURES - 1]}
    adata = table.adata[:, ::-1].copy()
    values = np.tile(np.arange(1, N_FEATURES, dtype=np.float32), (N_CELLS, 1))
    table.modality.write_own(adata, "predicted", values, state)
    expected = [np.nan if name == known[0] else known.index(name) for name in adata.var_names]
    np.testing.assert_array_equal(adata.layers["predicted"][0], np.float32(expected))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", FLOATING)
def test_nan_and_infinite_values_are_refused_with_their_slot(name, bad):
    kind = KINDS[name]()
    kind.values[(2, *[1] * (kind.values.ndim - 1))] = bad
    with pytest.raises(ValueError, match=rf"{re.escape(kind.path)} has .*NaN or infinite values"):
        kind.read()


def test_a_layer_is_read_in_place_of_x(table):
    assert isinstance(table.modality, Tabular)
    in_layer = type(table.modality)(**{**vars(table.modality), "layer": "raw"})
    adata = table.adata.copy()
    adata.layers["raw"] = table.adata.X.copy()
    adata.X = np.full(adata.shape, np.nan, dtype=np.float32)
    np.testing.assert_array_equal(in_layer.read(adata, "mdata['m']", None).dense().numpy(), adata.layers["raw"])
