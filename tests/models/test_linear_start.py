"""Codes to start from, by linear algebra, against data whose factors are known."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

from cellprism.data import CellDataset, DenseRows
from cellprism.latents import Block, LatentLayout
from cellprism.modalities import Architecture, Features
from cellprism.models._components import components, standing_out, without
from cellprism.models._linear_start import linear_start
from cellprism.module import LatentModule

NEAR_ZERO = 0.01
"""Ten standard deviations of the noise on dimensions that start empty."""


def low_rank(n_cells: int, n_features: int, rank: int, seed: int, noise: float = 1.0) -> np.ndarray:
    random = np.random.default_rng(seed)
    signal = random.normal(size=(n_cells, rank)) @ random.normal(size=(rank, n_features))
    return signal + noise * random.normal(size=(n_cells, n_features))


def as_dataset(
    tables: Mapping[str, np.ndarray],
    *,
    present: Mapping[str, np.ndarray] | None = None,
    batches: np.ndarray | None = None,
) -> CellDataset:
    """Tables over the same cells, of which each modality keeps those that are present."""
    n_cells = len(next(iter(tables.values())))
    rows, row_of_cell = {}, {}
    for name, table in tables.items():
        cells = np.arange(n_cells) if present is None or name not in present else present[name]
        rows[name] = DenseRows(torch.from_numpy(np.float32(table[cells])))
        row_of_cell[name] = torch.full((n_cells,), -1)
        row_of_cell[name][torch.from_numpy(cells)] = torch.arange(len(cells))
    codes = torch.zeros(n_cells, dtype=torch.long) if batches is None else torch.from_numpy(batches)
    return CellDataset(rows, row_of_cell, codes, torch.full((n_cells,), -1), torch.zeros(n_cells, 0))


def module_for(dataset: CellDataset, layout: LatentLayout, training: np.ndarray) -> LatentModule:
    module = LatentModule(
        dict.fromkeys(dataset.rows, Features()),
        {name: (rows.dense().shape[1],) for name, rows in dataset.rows.items()},
        layout=layout,
        objectives=(),
        architecture=Architecture(n_hidden=2, n_layers=1),
        n_batches=1 + int(dataset.batch_codes.max()),
        n_classes=0,
        n_markers=0,
    ).eval()
    for name in dataset.rows:
        module.coders[name].fit_statistics(dataset.rows_of(name, training))
    return module


def start_of(
    dataset: CellDataset, layout: LatentLayout | None = None, training: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    training = np.arange(len(dataset)) if training is None else training
    layout = layout or LatentLayout.split(list(dataset.rows), n_shared=5, n_private=5)
    return linear_start(module_for(dataset, layout, training), dataset, training, seed=0)


def r2(latents: np.ndarray, factors: np.ndarray) -> float:
    """Share of the variance of factors that follows linearly from latents."""
    return LinearRegression().fit(latents, factors).score(latents, factors)


def used(code: np.ndarray) -> int:
    """Dimensions that are not near zero."""
    return int((code.std(0) > NEAR_ZERO).sum())


# ---- components of one modality


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("n_features", "rank"), [(40, 3), (150, 6)])
def test_as_many_components_stand_out_as_there_are_factors(n_features, rank, seed):
    assert standing_out(low_rank(300, n_features, rank, seed)).shape == (n_features, rank)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_features", [40, 150])
def test_hardly_anything_stands_out_of_noise(n_features, seed):
    assert standing_out(low_rank(300, n_features, 0, seed)).shape[1] <= 1


def test_units_of_features_say_nothing_about_the_number_of_components():
    table = low_rank(300, 40, 3, 0)
    assert standing_out(table * 10.0 ** np.linspace(-2, 2, 40)).shape[1] == 3


def test_components_span_the_factors_of_noisy_data():
    random = np.random.default_rng(1)
    factors = random.normal(size=(300, 3))
    table = factors @ random.normal(size=(3, 60)) + 0.5 * random.normal(size=(300, 60))
    assert r2((table - table.mean(0)) @ standing_out(table), factors) > 0.95


def test_a_feature_that_never_varies_breaks_nothing():
    table = np.concatenate([low_rank(200, 30, 2, 0), np.full((200, 2), 7.0)], axis=1)
    loadings = standing_out(table)
    assert np.isfinite(loadings).all()
    assert loadings.shape[1] == 2


def test_batches_are_taken_out_of_components_and_factors_are_not():
    random = np.random.default_rng(0)
    factors, batches = random.normal(size=(300, 2)), random.integers(0, 3, 300)
    table = factors @ random.normal(size=(2, 40)) + 5 * random.normal(size=(3, 40))[batches]
    table += 0.5 * random.normal(size=table.shape)
    layout, cells = LatentLayout.split(["a"], n_shared=2, n_private=0), np.arange(300)
    scores = {}
    for name, given in {"known": batches, "unknown": np.zeros(300, dtype=int)}.items():
        dataset = as_dataset({"a": table}, batches=given)
        scores[name] = components(module_for(dataset, layout, cells), dataset, cells, "a")
    columns = np.eye(3)[batches]
    assert r2(columns, scores["unknown"]) > 0.3
    assert r2(columns, scores["known"]) < 1e-6
    assert r2(scores["known"], factors) > 0.9


def test_what_others_explain_is_taken_out_as_by_least_squares():
    random = np.random.default_rng(0)
    explaining = random.normal(size=(50, 2))
    scores = explaining @ random.normal(size=(2, 3)) + random.normal(size=(50, 3))
    left = without(scores, explaining, np.arange(30))
    fitted = LinearRegression().fit(explaining[:30], scores[:30])
    slopes = (explaining - explaining[:30].mean(0)) @ fitted.coef_.T
    np.testing.assert_allclose(left, scores - slopes, atol=1e-10)


def test_nothing_is_taken_out_of_cells_of_which_the_explaining_is_not_known():
    random = np.random.default_rng(0)
    explaining, scores = random.normal(size=(40, 2)), random.normal(size=(40, 3))
    explaining[35:] = np.nan
    np.testing.assert_array_equal(without(scores, explaining, np.arange(40))[35:], scores[35:])


# ---- blocks of several modalities


def two_modalities(
    n_cells: int = 400, *, n_shared: int = 2, n_private: int = 2, noise: float = 0.7, seed: int = 0
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Tables, and the factors behind them by block."""
    random = np.random.default_rng(seed)
    widths = {"shared": n_shared, "a": n_private, "b": n_private}
    factors = {name: random.normal(size=(n_cells, width)) for name, width in widths.items()}
    tables = {}
    for name, n_features in {"a": 40, "b": 25}.items():
        parents = np.concatenate([factors["shared"], factors[name]], axis=1)
        tables[name] = parents @ random.normal(size=(parents.shape[1], n_features))
        tables[name] += noise * random.normal(size=tables[name].shape)
    return tables, factors


@pytest.mark.parametrize("seed", range(3))
def test_factors_of_two_noisy_modalities_are_found_in_their_own_block_alone(seed):
    tables, factors = two_modalities(seed=seed)
    codes = start_of(as_dataset(tables))
    for block, own in factors.items():
        assert used(codes[block]) == 2
        assert r2(codes[block], own) > 0.85
        for other in factors.keys() - {block}:
            assert r2(codes[block], factors[other]) < 0.1


def test_dimensions_in_use_have_unit_variance_and_are_uncorrelated_with_other_blocks():
    codes = start_of(as_dataset(two_modalities()[0]))
    for code in codes.values():
        np.testing.assert_allclose(code[:, : used(code)].std(0), 1, atol=1e-4)
        assert (code[:, used(code) :].std(0) < NEAR_ZERO).all()
    for block in ("a", "b"):
        between = np.corrcoef(codes["shared"][:, :2].T, codes[block][:, :2].T)[:2, 2:]
        assert np.abs(between).max() < 0.05


@pytest.mark.parametrize("seed", range(3))
def test_where_nothing_is_shared_the_shared_block_starts_empty(seed):
    tables, factors = two_modalities(n_shared=0, seed=seed)
    codes = start_of(as_dataset(tables))
    assert np.abs(codes["shared"]).max() < NEAR_ZERO
    assert r2(codes["a"], factors["a"]) > 0.85


@pytest.mark.parametrize("seed", range(3))
def test_where_everything_is_shared_private_blocks_start_empty(seed):
    tables, factors = two_modalities(n_private=0, n_shared=3, seed=seed)
    codes = start_of(as_dataset(tables))
    assert r2(codes["shared"], factors["shared"]) > 0.85
    for block in ("a", "b"):
        assert np.abs(codes[block]).max() < NEAR_ZERO


def test_a_block_that_is_too_narrow_takes_what_explains_most():
    tables, factors = two_modalities(n_shared=2)
    random = np.random.default_rng(5)
    for table in tables.values():
        table += 6 * factors["shared"][:, :1] @ random.normal(size=(1, table.shape[1]))
    codes = start_of(as_dataset(tables), LatentLayout.split(["a", "b"], n_shared=1, n_private=4))
    assert codes["shared"].shape == (400, 1)
    assert r2(codes["shared"], factors["shared"][:, :1]) > 0.9


@pytest.mark.parametrize(("n_pairs", "starts"), [(19, False), (60, True)])
def test_too_few_pairs_tell_nothing_about_what_is_shared(n_pairs, starts):
    tables, _ = two_modalities(noise=0.2)
    present = {"a": np.arange(200 + n_pairs), "b": np.arange(200, 400)}
    codes = start_of(as_dataset(tables, present=present))
    assert (used(codes["shared"]) > 0) is starts
    assert used(codes["a"]) > 0


def test_a_cell_with_one_modality_has_a_shared_code_that_fits_those_of_the_others():
    tables, factors = two_modalities(noise=0.3)
    present = {"a": np.arange(300), "b": np.arange(100, 400)}
    codes = start_of(as_dataset(tables, present=present))
    assert all(np.isfinite(code).all() for code in codes.values())
    fitted = LinearRegression().fit(codes["shared"][100:300], factors["shared"][100:300])
    for cells in (slice(0, 100), slice(300, 400)):
        assert fitted.score(codes["shared"][cells], factors["shared"][cells]) > 0.8
    assert not codes["b"][:100, :2].any()  # nothing is known of it: the mean of the prior
    assert not codes["a"][300:, :2].any()


PARENTS = {"abc": "abc", "ab": "ab", "a": "a", "b": "b", "c": "c"}
"""Which of three modalities depend on the factors of each block."""


@pytest.mark.parametrize("width", [2, 4])
def test_a_block_of_two_of_three_modalities_gets_what_these_two_share(width):
    random = np.random.default_rng(0)
    factors = {name: random.normal(size=(500, 2)) for name in PARENTS}
    tables = {}
    for modality in "abc":
        seen = np.concatenate([factors[name] for name, sees in PARENTS.items() if modality in sees], axis=1)
        tables[modality] = seen @ random.normal(size=(seen.shape[1], 40)) + 0.4 * random.normal(size=(500, 40))
    layout = LatentLayout(tuple(Block(name, width, tuple(sees)) for name, sees in PARENTS.items()))
    codes = start_of(as_dataset(tables), layout)
    for block, own in factors.items():
        assert r2(codes[block], own) > 0.8, block
        for other in factors.keys() - {block}:
            assert r2(codes[block], factors[other]) < 0.15, (block, other)


def test_cells_outside_training_change_no_training_code():
    tables, _ = two_modalities(200)
    training = np.arange(150)
    changed = {name: table.copy() for name, table in tables.items()}
    for table in changed.values():
        table[150:] = 100 * np.random.default_rng(9).normal(size=table[150:].shape)
    codes, other = (start_of(as_dataset(given), training=training) for given in (tables, changed))
    for block in codes:
        np.testing.assert_allclose(codes[block][training], other[block][training], atol=1e-5)
        assert np.abs(codes[block][150:] - other[block][150:]).max() > 1


def test_cells_outside_training_have_codes_that_follow_the_same_fit():
    tables, factors = two_modalities()
    codes = start_of(as_dataset(tables), training=np.arange(300))
    fitted = LinearRegression().fit(codes["shared"][:300], factors["shared"][:300])
    assert fitted.score(codes["shared"][300:], factors["shared"][300:]) > 0.8


def test_a_modality_in_which_nothing_stands_out_shares_nothing():
    tables, _ = two_modalities()
    tables["b"] = np.random.default_rng(3).normal(size=(400, 25))
    codes = start_of(as_dataset(tables))
    assert np.abs(codes["shared"]).max() < NEAR_ZERO
    assert used(codes["a"]) == 4


def test_the_same_seed_gives_the_same_codes():
    dataset = as_dataset(two_modalities(150)[0])
    first, second = start_of(dataset), start_of(dataset)
    for block in first:
        np.testing.assert_array_equal(first[block], second[block])
