"""Every row is the right cell's, compared by name with the MuData itself."""

import gc
import weakref

import mudata
import numpy as np
import pytest
import torch
from mudata import MuData
from scipy import sparse
from tests.contracts.simulated import MOSAIC, UNPAIRED, as_adata, dense, simulate

from cellprism.data import Batch, CellDataset, CellLoader
from cellprism.modalities import Counts, Features

LAYOUTS = {
    "paired": None,
    "unpaired": UNPAIRED,
    "mosaic": MOSAIC,
    "one cell in common": {"rna": range(20), "protein": range(19, 40)},
}


@pytest.fixture(params=LAYOUTS)
def mdata(request) -> MuData:
    """Cells of each modality in an order of their own."""
    return simulate(present=LAYOUTS[request.param], shuffle=True)


def assert_rows_are_those_of_their_cells(batch: Batch, mdata: MuData) -> None:
    names = mdata.obs_names[batch.cells.numpy()]
    for modality, adata in mdata.mod.items():
        expected = [name for name in names if name in adata.obs_names]
        if not expected:
            assert modality not in batch.observed
            continue
        observed = batch.observed[modality]
        assert names[observed.cells.numpy()].tolist() == expected
        np.testing.assert_array_equal(observed.rows.dense().numpy(), dense(adata[expected].X))


def test_every_row_is_the_right_cell(mdata, read):
    dataset = read(mdata)
    assert_rows_are_those_of_their_cells(dataset.take(torch.arange(len(dataset))), mdata)


def test_every_row_is_the_right_cell_when_cells_are_taken_in_any_order(mdata, read):
    cells = torch.randperm(mdata.n_obs, generator=torch.Generator().manual_seed(0))[:23]
    assert_rows_are_those_of_their_cells(read(mdata).take(cells), mdata)


def test_every_row_is_the_right_cell_through_a_shuffling_loader(mdata, read):
    dataset, seen = read(mdata), []
    for batch in CellLoader(dataset, np.arange(len(dataset)), batch_size=7, shuffle=True, seed=3):
        assert_rows_are_those_of_their_cells(batch, mdata)
        seen += batch.cells.tolist()
    assert seen != sorted(seen)
    assert sorted(seen) == list(range(mdata.n_obs))


def test_presence_is_what_obsmap_says(mdata, read):
    dataset = read(mdata)
    for modality in mdata.mod:
        row = np.asarray(mdata.obsmap[modality]).astype(int) - 1
        np.testing.assert_array_equal(dataset.row_of_cell[modality].numpy(), row)
        np.testing.assert_array_equal(dataset.is_observed(modality), row >= 0)
        np.testing.assert_array_equal(dataset.cells_with(modality), np.flatnonzero(row >= 0))


def test_pairs_are_the_cells_with_both_modalities(mdata, read):
    dataset = read(mdata)
    batch = dataset.take(torch.arange(len(dataset)))
    both = set(mdata["rna"].obs_names) & set(mdata["protein"].obs_names)
    in_rna, in_protein = batch.pairs("rna", "protein")
    for modality, rows in (("rna", in_rna), ("protein", in_protein)):
        if not both:
            assert not len(rows)
            continue
        cells = batch.observed[modality].cells[rows]
        assert set(mdata.obs_names[cells.numpy()]) == both
    if both:
        assert torch.equal(batch.observed["rna"].cells[in_rna], batch.observed["protein"].cells[in_protein])
    assert dataset.n_pairs("rna", "protein") == len(both)


def test_modalities_with_the_same_cells_in_different_order_are_simply_right(read):
    ordered = simulate()
    names = ordered.obs_names.to_numpy()
    reversed_protein = MuData({"rna": ordered["rna"].copy(), "protein": ordered["protein"][names[::-1]].copy()})
    found, expected = (read(data).take(torch.arange(40)) for data in (reversed_protein, ordered))
    assert reversed_protein.obs_names.equals(ordered.obs_names)
    for modality in ("rna", "protein"):
        values, others = (batch.observed[modality].rows.dense() for batch in (found, expected))
        assert torch.equal(values, others)


def test_labels_batches_and_markers_follow_their_cells(read):
    mdata = simulate(present=MOSAIC, shuffle=True)
    dataset = read(mdata, batch="batch", labels="label", marker=["marker"])
    cells = torch.tensor([31, 2, 17])
    batch = dataset.take(cells)
    obs = mdata.obs.iloc[cells.numpy()]
    assert [["one", "two"][code] for code in batch.batch_codes] == obs["batch"].tolist()
    assert [["a", "b", "c"][code] for code in batch.labels] == obs["label"].tolist()
    standardised = (obs["marker"] - mdata.obs["marker"].mean()) / mdata.obs["marker"].std(ddof=0)
    np.testing.assert_allclose(batch.markers[:, 0].numpy(), standardised, rtol=1e-5)


def test_columns_may_lie_in_the_modalities(read):
    mdata = simulate(present=MOSAIC)
    expected = read(mdata, labels="label").labels
    column = mdata.obs["label"].copy()
    del mdata.obs["label"]
    for adata in mdata.mod.values():
        adata.obs["label"] = column.reindex(adata.obs_names).astype("category")
    assert torch.equal(read(mdata, labels="label").labels, expected)


def test_missing_and_unlabelled_cells_have_the_code_minus_one(read):
    mdata = simulate()
    mdata.obs.loc[mdata.obs_names[:5], "label"] = "unknown"
    mdata.obs.loc[mdata.obs_names[5:8], "label"] = np.nan
    labels = read(mdata, labels="label", unlabeled="unknown").labels
    assert (labels[:8] == -1).all()
    assert set(labels[8:].tolist()) == {0, 1, 2}


def _backed(mdata: MuData, tmp_path) -> MuData:
    mdata.write_h5mu(tmp_path / "data.h5mu")
    return mudata.read_h5mu(tmp_path / "data.h5mu", backed="r")


def _of_views(mdata: MuData, tmp_path) -> MuData:
    whole = {name: as_whole(adata) for name, adata in mdata.mod.items()}
    views = {name: adata[mdata.mod[name].obs_names] for name, adata in whole.items()}
    assert all(view.is_view for view in views.values())
    return MuData(views)


def as_whole(adata):
    """Surround the cells with others that are not asked for."""
    values = dense(adata.X)
    values = np.concatenate([values[:1] + 7, values, values[:2] + 9])
    names = ["before", *adata.obs_names, "after 1", "after 2"]
    return as_adata(values, names, adata.var_names[0].rsplit("_", 1)[0])


def _with_matrix(change):
    def build(mdata: MuData, tmp_path) -> MuData:
        for adata in mdata.mod.values():
            adata.X = change(dense(adata.X))
        return mdata

    return build


STORED = {
    "csr": _with_matrix(sparse.csr_matrix),
    "csc": _with_matrix(sparse.csc_matrix),
    "csr array": _with_matrix(sparse.csr_array),
    "float64": _with_matrix(np.float64),
    "float64 csr": _with_matrix(lambda x: sparse.csr_matrix(np.float64(x))),
    "int32": _with_matrix(lambda x: np.rint(x).astype(np.int32)),
    "uint8 csc": _with_matrix(lambda x: sparse.csc_matrix(np.abs(np.rint(x)).astype(np.uint8))),
    "bool": _with_matrix(lambda x: x > 1),
    "fortran order": _with_matrix(np.asfortranarray),
    "backed": _backed,
    "AnnData views inside": _of_views,
    "view of MuData": lambda mdata, tmp_path: simulate(44, present={"rna": range(30), "protein": range(20, 44)})[
        mdata.obs_names.tolist()
    ],
}


@pytest.mark.parametrize("stored", STORED)
def test_rows_are_right_however_they_are_stored(stored, read, tmp_path):
    mdata = STORED[stored](simulate(present=MOSAIC, shuffle=True), tmp_path)
    dataset = read(mdata)
    batch = dataset.take(torch.arange(len(dataset)))
    names = mdata.obs_names
    for modality, adata in mdata.mod.items():
        observed = batch.observed[modality]
        adata = adata.to_memory() if adata.isbacked else adata
        expected = dense(adata[names[observed.cells.numpy()]].X).astype(np.float32)
        assert observed.rows.dense().dtype == torch.float32
        np.testing.assert_array_equal(observed.rows.dense().numpy(), expected)


def test_counts_of_any_dtype_are_accepted(read):
    for dtype in (np.int16, np.uint32, np.float64, np.int64):
        mdata = simulate(kinds={"rna": "counts", "atac": "sparse"})
        for adata in mdata.mod.values():
            adata.X = adata.X.astype(dtype)
        dataset = read(mdata, {"rna": Counts(), "atac": Counts()})
        np.testing.assert_array_equal(dataset.rows["rna"].dense().numpy(), np.float32(mdata["rna"].X))


def test_repeated_entries_of_a_sparse_matrix_are_summed(read):
    mdata = simulate(3, kinds={"rna": "counts"}, n_features=4)
    repeated = sparse.csr_matrix((np.ones(3), [1, 1, 2], [0, 2, 2, 3]), shape=(3, 4))
    mdata["rna"].X = repeated
    expected = [[0, 2, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]]
    np.testing.assert_array_equal(read(mdata).rows["rna"].dense().numpy(), expected)
    assert mdata["rna"].X.nnz == 3


def test_sparse_stays_sparse_and_dense_stays_dense(read):
    dataset = read(simulate())
    assert type(dataset.rows["rna"]).__name__ == "SparseRows"
    assert type(dataset.rows["protein"]).__name__ == "DenseRows"


def test_a_batch_holds_no_padding(read):
    dataset = read(simulate(present=MOSAIC))
    batch = dataset.take(torch.arange(40))
    assert {name: len(observed) for name, observed in batch.observed.items()} == {"rna": 30, "protein": 20}
    assert batch.only(("rna",)).observed.keys() == {"rna"}
    assert batch.only(("rna",)).n_cells == 40


def test_a_loader_with_the_same_seed_serves_the_same_cells(read):
    dataset = read(simulate())

    def order(seed: int) -> list[int]:
        loader = CellLoader(dataset, np.arange(40), batch_size=8, shuffle=True, seed=seed)
        return [cell for _ in range(2) for batch in loader for cell in batch.cells.tolist()]

    assert order(0) == order(0)
    assert order(0) != order(1)
    assert order(0)[:40] != order(0)[40:]


def test_a_loader_keeps_the_order_and_serves_the_remainder(read):
    loader = CellLoader(read(simulate()), np.array([9, 3, 3, 30, 1]), batch_size=2)
    assert [batch.cells.tolist() for batch in loader] == [[9, 3], [3, 30], [1]]


def test_the_manager_serves_a_subset_for_scvi_tools(read):
    from cellprism.data import CellManager, ModalityField

    mdata = simulate()
    manager = CellManager(
        fields=[ModalityField("rna", Features())],
        setup_method_args={"model_name": "", "setup_method_name": "", "setup_args": {}},
    )
    manager.register_fields(mdata)
    assert len(manager.create_torch_dataset()) == 40
    subset = manager.create_torch_dataset(indices=[4, 2])
    assert subset[1].cells.tolist() == [2]
    manager.validate()


def test_a_data_set_does_not_keep_the_mdata_alive(read):
    mdata = simulate()
    dataset, reference = read(mdata), weakref.ref(mdata)
    del mdata
    gc.collect()
    assert reference() is None
    assert isinstance(dataset, CellDataset)


def test_a_loader_of_no_cells_serves_none(read):
    loader = CellLoader(read(simulate()), np.zeros(0, dtype=int), batch_size=8)
    assert (len(loader), list(loader)) == (0, [])


@pytest.mark.parametrize("n_processes", [2, 3])
def test_processes_serve_each_cell_once_in_as_many_batches(read, n_processes):
    dataset, cells = read(simulate()), np.arange(39)
    loaders = [
        CellLoader(dataset, cells, batch_size=4, shuffle=True, process=process, n_processes=n_processes)
        for process in range(n_processes)
    ]
    epochs = [[[c for batch in loader for c in batch.cells.tolist()] for loader in loaders] for _ in range(2)]
    assert len({len(loader) for loader in loaders}) == 1
    assert [len(list(loader)) for loader in loaders] == [len(loaders[0])] * n_processes
    for epoch in epochs:
        assert sorted(cell for served in epoch for cell in served) == cells.tolist()
    assert [set(served) for served in epochs[0]] == [set(served) for served in epochs[1]]
    assert epochs[0] != epochs[1]


def test_batches_are_as_even_as_can_be(read):
    loader = CellLoader(read(simulate()), np.arange(33), batch_size=16, shuffle=True)
    assert [batch.n_cells for batch in loader] == [11, 11, 11]


def test_processes_serve_as_many_minibatches_where_one_has_a_cell_less(read):
    dataset = read(simulate())
    loaders = [CellLoader(dataset, np.arange(5), batch_size=1, process=p, n_processes=2) for p in range(2)]
    assert [len(list(loader)) for loader in loaders] == [3, 3]
