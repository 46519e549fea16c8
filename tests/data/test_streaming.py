"""Rows that lie in a file: the right cell's, each once an epoch, never more at a time than a buffer."""

import hashlib
from pathlib import Path

import mudata
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from mudata import MuData
from scipy import sparse
from tests.contracts.simulated import as_adata, cell_names, simulate

import cellprism
from cellprism.data import Batch, CellDataset, CellLoader, StoredRows, _dataset, _stored_slots, is_stored
from cellprism.data._annbatch import AnnbatchTable
from cellprism.data._stored_slots import SparseTable, StoredSlots, runs, spread
from cellprism.modalities import Counts, Features, Images, infer_modality

# what mudata asks anndata when it writes zarr
pytestmark = pytest.mark.filterwarnings("ignore:This setting will be removed in 0.14:DeprecationWarning:mudata")

N_CELLS, BUFFER = 400, 128
PRESENT = {
    "paired": None,
    "unpaired": {"rna": range(180), "protein": range(180, 400)},
    "mosaic": {"rna": range(300), "protein": range(150, 400)},
}
KINDS = {
    "rna": Counts(),
    "protein": Features(),
    "image": Images(mask="mask", identity="stain", identities=("CD3", "CD8")),
}


def with_images(mdata: MuData) -> MuData:
    """Add images of 350 cells, in an order of their own, with masks and stains."""
    random, chosen = np.random.default_rng(0), np.random.default_rng(1).permutation(N_CELLS)[:350]
    images = AnnData(
        obs=pd.DataFrame({"stain": random.choice(["CD3", "CD8"], 350)}, index=cell_names(N_CELLS)[chosen]),
        obsm={
            "image": random.integers(0, 255, (350, 2, 16, 16)).astype(np.uint8),
            "mask": random.integers(0, 2, (350, 16, 16)).astype(np.uint8),
        },
    )
    return MuData({**mdata.mod, "image": images})


def written(mdata: MuData, folder: Path, store: str) -> Path:
    path = folder / f"cells.{store}"
    mdata.write_h5mu(path) if store == "h5mu" else mdata.write_zarr(path)
    return path


@pytest.fixture(params=["h5mu", "zarr"])
def store(request) -> str:
    return request.param


@pytest.fixture
def small_buffers(monkeypatch) -> None:
    monkeypatch.setattr(_dataset, "MOST_CELLS", BUFFER)


@pytest.fixture
def reads(monkeypatch) -> list[np.ndarray]:
    """Rows of every read from a file."""
    made: list[np.ndarray] = []
    take = StoredSlots.take
    monkeypatch.setattr(StoredSlots, "take", lambda self, rows: (made.append(rows), take(self, rows))[1])
    return made


def assert_same_rows(found: Batch, expected: Batch) -> None:
    assert found.observed.keys() == expected.observed.keys()
    for name, observed in expected.observed.items():
        assert torch.equal(found.observed[name].cells, observed.cells)
        rows, others = found.observed[name].rows, observed.rows
        assert torch.equal(rows.dense(), others.dense())
        for part in ("mask", "identity"):
            if hasattr(others, part):
                assert torch.equal(getattr(rows, part), getattr(others, part))


@pytest.mark.parametrize("present", PRESENT)
@pytest.mark.usefixtures("small_buffers")
def test_every_row_is_the_right_cell_and_is_served_once(present, store, read, tmp_path):
    mdata = with_images(simulate(N_CELLS, present=PRESENT[present], shuffle=present == "mosaic"))
    backed = cellprism.read_backed(written(mdata, tmp_path, store))
    in_memory, streamed = read(mdata, KINDS), read(backed, KINDS)
    assert all(isinstance(rows, StoredRows) for rows in streamed.rows.values())
    seen = []
    for batch in CellLoader(streamed, np.arange(N_CELLS), batch_size=30, shuffle=True, seed=1):
        assert_same_rows(batch, in_memory.take(batch.cells))
        seen += batch.cells.tolist()
    assert seen != sorted(seen)
    assert sorted(seen) == list(range(N_CELLS))


def streamed(tmp_path: Path, read, n_cells: int = N_CELLS) -> CellDataset:
    return read(cellprism.read_backed(written(simulate(n_cells), tmp_path, "h5mu")))


@pytest.mark.usefixtures("small_buffers")
def test_orders_differ_by_epoch_and_are_fixed_by_the_seed(read, tmp_path):
    dataset = streamed(tmp_path, read)

    def epochs(seed: int) -> list[list[int]]:
        loader = CellLoader(dataset, np.arange(N_CELLS), batch_size=50, shuffle=True, seed=seed)
        return [[cell for batch in loader for cell in batch.cells.tolist()] for _ in range(2)]

    first, second = epochs(0)
    assert first != second
    assert epochs(0) == [first, second]
    assert epochs(1)[0] != first


@pytest.mark.usefixtures("small_buffers")
def test_a_minibatch_holds_cells_of_blocks_from_anywhere_in_the_file(read, tmp_path):
    loader = CellLoader(streamed(tmp_path, read), np.arange(N_CELLS), batch_size=32, shuffle=True, seed=0)
    assert any(np.ptp(batch.cells.numpy()) > 2 * BUFFER for batch in loader)


@pytest.mark.usefixtures("small_buffers")
def test_cells_that_are_not_shuffled_keep_their_order(read, tmp_path):
    dataset, cells = streamed(tmp_path, read), np.random.default_rng(0).permutation(N_CELLS)[:301]
    assert [c for b in CellLoader(dataset, cells, batch_size=50) for c in b.cells.tolist()] == cells.tolist()


@pytest.mark.parametrize(("n_cells", "batch_size"), [(3, 2), (1, 128), (130, 1), (0, 4)])
@pytest.mark.usefixtures("small_buffers")
def test_no_minibatch_is_empty_and_their_number_is_known(n_cells, batch_size, read, tmp_path):
    loader = CellLoader(streamed(tmp_path, read), np.arange(n_cells), batch_size=batch_size, shuffle=True)
    sizes = [batch.n_cells for batch in loader]
    assert sum(sizes) == n_cells
    assert all(0 < size <= batch_size for size in sizes)
    if batch_size > 1:
        assert len(loader) == len(sizes)


@pytest.mark.usefixtures("small_buffers")
def test_no_read_is_larger_than_a_buffer(reads, read, tmp_path):
    dataset = streamed(tmp_path, read)
    reads.clear()
    n_batches = sum(1 for _ in CellLoader(dataset, np.arange(N_CELLS), batch_size=20, shuffle=True))
    assert n_batches >= N_CELLS / 20
    assert max(map(len, reads)) <= BUFFER
    assert sum(map(len, reads)) == 2 * N_CELLS


def test_buffers_shrink_where_cells_are_large(monkeypatch, read, tmp_path):
    dataset = streamed(tmp_path, read)
    assert dataset.buffer == 8192
    per_cell = dataset.nbytes / N_CELLS
    monkeypatch.setattr(_dataset, "MOST_BYTES", round(200 * per_cell))
    assert dataset.buffer == 192
    monkeypatch.setattr(_dataset, "MOST_BYTES", 1)
    assert dataset.buffer == 64


def test_what_rows_would_take_is_known_without_reading_them(read, tmp_path):
    mdata = simulate(N_CELLS)
    expected = read(mdata).nbytes
    backed = read(cellprism.read_backed(written(mdata, tmp_path, "h5mu")))
    assert backed.nbytes == pytest.approx(expected, rel=0.02)
    assert backed.in_memory().nbytes == expected


def test_rows_are_taken_from_a_file_in_any_order_and_repeatedly(read, tmp_path):
    mdata = simulate(N_CELLS)
    dataset = read(cellprism.read_backed(written(mdata, tmp_path, "h5mu")))
    cells = torch.tensor([399, 3, 3, 250, 0])
    assert_same_rows(dataset.take(cells), read(mdata).take(cells))


def test_other_modalities_are_not_read(reads, read, tmp_path):
    dataset = streamed(tmp_path, read)
    reads.clear()
    assert dataset.only(["protein"]).take(torch.arange(5)).observed.keys() == {"protein"}
    assert len(reads) == 1


def test_only_slots_that_the_modality_needs_are_read(tmp_path):
    mdata = simulate(N_CELLS)
    mdata["rna"].layers["counts"] = mdata["rna"].X.copy()
    backed = cellprism.read_backed(written(mdata, tmp_path, "h5mu"))
    part = StoredSlots(backed["rna"], Counts(layer="counts").slots, "mdata['rna']").take(np.array([3, 4]))
    assert part.X is None
    assert [name for name in part.layers if name is not None] == ["counts"]
    assert not len(part.obs.columns)


@pytest.mark.parametrize("build", [sparse.csr_matrix, np.asarray], ids=["sparse", "dense"])
def test_layers_are_read_from_the_file(build, store, read, tmp_path):
    mdata = simulate(N_CELLS)
    values = np.random.default_rng(0).poisson(1.0, mdata["rna"].shape).astype(np.float32)
    mdata["rna"].layers["counts"] = build(values)
    backed = cellprism.read_backed(written(mdata, tmp_path, store))
    dataset = read(backed, {"rna": Counts(layer="counts")})
    found = dataset.take(torch.arange(N_CELLS)).observed["rna"].rows.dense()
    np.testing.assert_array_equal(found.numpy(), values)


def test_features_may_lie_in_another_order_in_the_file(read, tmp_path):
    from cellprism.data import ModalityField

    mdata = simulate(N_CELLS)
    state = ModalityField("rna", Features()).register_field(mdata)
    reversed_ = MuData({"rna": mdata["rna"][:, ::-1].copy()})
    backed = cellprism.read_backed(written(reversed_, tmp_path, "h5mu"))
    rows = ModalityField("rna", Features()).rows(state, backed).take(torch.arange(N_CELLS))
    np.testing.assert_array_equal(rows.dense().numpy(), mdata["rna"].X.toarray())


def test_dask_arrays_are_computed_a_buffer_at_a_time(reads, read):
    dask = pytest.importorskip("dask.array")
    mdata = simulate(N_CELLS, kinds={"protein": "features"})
    values = mdata["protein"].X
    mdata["protein"].X = dask.from_array(values, chunks=(50, -1))
    dataset = read(mdata)
    assert dataset.is_streamed
    found = dataset.take(torch.tensor([7, 390])).observed["protein"].rows.dense()
    np.testing.assert_array_equal(found.numpy(), values[[7, 390]])
    assert len(reads[-1]) == 2


@pytest.mark.parametrize("opened", ["by cellprism", "by mudata"])
def test_views_of_a_file_are_streamed(opened, reads, read, tmp_path):
    mdata = simulate(N_CELLS, present=PRESENT["mosaic"], shuffle=True)
    path = written(mdata, tmp_path, "h5mu")
    backed = cellprism.read_backed(path) if opened == "by cellprism" else mudata.read_h5mu(path, backed="r")
    chosen = np.random.default_rng(0).permutation(N_CELLS)[:200]
    shown = backed[mdata.obs_names[chosen]]
    dataset, expected = read(shown), read(mdata[mdata.obs_names[chosen]])
    assert dataset.is_streamed
    reads.clear()
    cells = torch.tensor([150, 3, 99])
    assert_same_rows(dataset.take(cells), expected.take(cells))
    assert max(map(len, reads)) <= 3


def test_views_of_some_features_are_streamed(read, tmp_path):
    mdata = simulate(N_CELLS)
    backed = cellprism.read_backed(written(mdata, tmp_path, "h5mu"))["rna"][:, ["rna_7", "rna_2"]]
    rows = read(MuData({"rna": backed})).take(torch.arange(N_CELLS)).observed["rna"].rows.dense()
    np.testing.assert_array_equal(rows.numpy(), mdata["rna"][:, ["rna_7", "rna_2"]].X.toarray())


def test_annbatch_reads_the_rows_that_are_read_without_it(tmp_path, monkeypatch):
    pytest.importorskip("annbatch")
    mdata = simulate(N_CELLS)
    backed = cellprism.read_backed(written(mdata, tmp_path, "zarr"))
    rows = np.array([0, 1, 2, 70, 398, 399])
    for is_readable, kind in ((True, AnnbatchTable), (False, SparseTable)):
        monkeypatch.setattr(_stored_slots, "is_readable", lambda table, answer=is_readable: answer)
        slots = StoredSlots(backed["rna"], ("X",), "mdata['rna']")
        assert isinstance(slots._slots["X"], kind)
        for asked in (rows, rows[:1], np.arange(N_CELLS)):
            np.testing.assert_array_equal(slots.take(asked).X.toarray(), mdata["rna"].X[asked].toarray())


# ---- what is wrong with the data


def hidden_row(n_cells: int) -> int:
    """A row that is not looked at beforehand."""
    return int(np.setdiff1d(np.arange(n_cells), spread(n_cells))[-1])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (0.5, r"mdata\['rna'\].X has values that are not integers \(such as 0.5\); Counts needs raw counts"),
        (-1.0, r"mdata\['rna'\].X has negative values \(min -1\)"),
        (np.nan, r"mdata\['rna'\].X has 1 NaN or infinite values"),
    ],
)
def test_bad_values_deep_in_a_file_are_refused_when_they_are_read(bad, message, read, tmp_path):
    n_cells = 4_000
    values = np.random.default_rng(0).poisson(2.0, (n_cells, 4)).astype(np.float32)
    values[hidden_row(n_cells), 2] = bad
    mdata = MuData({"rna": as_adata(sparse.csr_matrix(values), [f"cell {i}" for i in range(n_cells)], "rna")})
    dataset = read(cellprism.read_backed(written(mdata, tmp_path, "h5mu")), {"rna": Counts()})
    with pytest.raises(ValueError, match=message):
        list(CellLoader(dataset, np.arange(n_cells), batch_size=128, shuffle=True))


def test_bad_values_at_the_end_of_a_file_are_refused_at_once(read, tmp_path):
    mdata = simulate(N_CELLS, kinds={"rna": "counts"})
    mdata["rna"].X[-1, -1] = 0.5
    backed = cellprism.read_backed(written(mdata, tmp_path, "h5mu"))
    with pytest.raises(ValueError, match=r"mdata\['rna'\].X has values that are not integers"):
        read(backed, {"rna": Counts()})


def test_bad_images_in_a_file_are_refused(store, read, tmp_path):
    mdata = with_images(simulate(N_CELLS))
    mdata["image"].obsm["image"] = mdata["image"].obsm["image"].astype(np.float32)
    backed = cellprism.read_backed(written(mdata, tmp_path, store))
    with pytest.raises(ValueError, match=r"mdata\['image'\].obsm\['image'\] has intensities from 0 to 254"):
        read(backed, {"image": Images()})


def test_tables_by_columns_are_refused(store, read, tmp_path):
    mdata = simulate(N_CELLS)
    mdata["rna"].X = sparse.csc_matrix(mdata["rna"].X)
    backed = cellprism.read_backed(written(mdata, tmp_path, store))
    with pytest.raises(
        ValueError, match=r"mdata\['rna'\].X lies in the file by columns \(CSC\).*expected rows \(CSR\)"
    ):
        read(backed)


def test_a_missing_layer_of_a_file_is_named_with_the_closest(read, tmp_path):
    mdata = simulate(N_CELLS)
    mdata["rna"].layers["counts"] = mdata["rna"].X.copy()
    backed = cellprism.read_backed(written(mdata, tmp_path, "h5mu"))
    with pytest.raises(KeyError, match=r"layers\['count'\] does not exist. Did you mean 'counts'"):
        read(backed, {"rna": Counts(layer="count")})


def test_a_part_without_any_count_is_no_error(read, tmp_path):
    mdata = simulate(N_CELLS, kinds={"rna": "counts"})
    mdata["rna"].X[:] = 0
    mdata["rna"].X[200] = 1
    dataset = read(cellprism.read_backed(written(mdata, tmp_path, "h5mu")), {"rna": Counts()})
    assert not dataset.take(torch.arange(50)).observed["rna"].rows.dense().any()


# ---- opening files


def test_tables_and_images_stay_in_the_file_and_the_rest_does_not(store, tmp_path):
    mdata = with_images(simulate(N_CELLS))
    mdata["image"].obsm["X_pca"] = np.zeros((350, 3), np.float32)
    mdata["rna"].layers["counts"] = mdata["rna"].X.copy()
    mdata.uns["note"] = "kept"
    backed = cellprism.read_backed(written(mdata, tmp_path, store))
    assert is_stored(backed["rna"].X)
    assert is_stored(backed["rna"].layers["counts"])
    assert is_stored(backed["protein"].X)
    assert is_stored(backed["image"].obsm["image"])
    assert isinstance(backed["image"].obsm["X_pca"], np.ndarray)
    assert backed.uns["note"] == "kept"


def test_an_opened_file_names_cells_and_modalities_as_the_written_object(store, tmp_path):
    mdata = simulate(present={"rna": range(20, 40), "protein": range(25)}, shuffle=True)[np.arange(40)[::-1]].copy()
    backed = cellprism.read_backed(written(mdata, tmp_path, store))
    assert list(backed.mod) == list(mdata.mod)
    assert backed.obs_names.equals(mdata.obs_names)
    assert backed.var_names.equals(mdata.var_names)
    pd.testing.assert_frame_equal(backed.obs, mdata.obs, check_categorical=False, check_dtype=False)


def test_the_kind_of_a_modality_is_inferred_from_some_cells(reads, tmp_path):
    n_cells = 5_000
    values = np.random.default_rng(0).poisson(2.0, (n_cells, 4)).astype(np.float32)
    mdata = MuData({"rna": as_adata(sparse.csr_matrix(values), [f"cell {i}" for i in range(n_cells)], "rna")})
    kind, _ = infer_modality(cellprism.read_backed(written(mdata, tmp_path, "h5mu"))["rna"], "mdata['rna']")
    assert kind == Counts()
    assert [len(rows) for rows in reads] == [2048]


def test_files_of_other_kinds_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"expected a name that ends in \.h5mu or \.zarr"):
        cellprism.read_backed(tmp_path / "cells.h5ad")
    with pytest.raises(FileNotFoundError, match=r"cells\.h5mu does not exist"):
        cellprism.read_backed(tmp_path / "cells.h5mu")
    simulate()["rna"].write_h5ad(tmp_path / "one.h5mu")
    with pytest.raises(ValueError, match=r"one\.h5mu holds no modalities"):
        cellprism.read_backed(tmp_path / "one.h5mu")


def test_the_file_is_left_as_it_was(read, tmp_path):
    path = written(simulate(N_CELLS), tmp_path, "h5mu")
    before = hashlib.sha256(path.read_bytes()).digest()
    for mdata in (cellprism.read_backed(path), mudata.read_h5mu(path, backed="r")):
        list(CellLoader(read(mdata), np.arange(N_CELLS), batch_size=64, shuffle=True))
    assert hashlib.sha256(path.read_bytes()).digest() == before


def test_spread_rows_are_blocks_from_the_first_row_to_the_last():
    assert spread(10).tolist() == list(range(10))
    rows = spread(100_000, 640)
    assert len(rows) == 640
    assert (rows[0], rows[-1]) == (0, 99_999)
    assert [last - first for first, last in runs(rows)] == [64] * 10


def test_runs_are_neighbours():
    assert runs(np.array([0, 1, 2, 7, 9, 10])) == [(0, 3), (7, 8), (9, 11)]
    assert runs(np.array([], int)) == []
