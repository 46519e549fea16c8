"""Each bad input gives an error that says what was found, what was expected, what to do, and where."""

import warnings

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData
from scipy import sparse
from tests.contracts.simulated import as_adata, simulate

from cellprism import CrossModalVAE
from cellprism.modalities import Counts, Features, Peaks


def setup(mdata: MuData, modalities=None, **columns) -> None:
    kinds = modalities or {"rna": Counts(), "protein": Features()}
    CrossModalVAE.setup_mudata(mdata, kinds, **columns)


def assert_refused(error: type[Exception], message: str, mdata: MuData, modalities=None, **columns) -> None:
    with pytest.raises(error, match=message):
        setup(mdata, modalities, **columns)


def changed(modality: str, change) -> MuData:
    mdata = simulate(kinds={"rna": "counts", "protein": "features"})
    values = mdata.mod[modality].X
    change(values)
    mdata.mod[modality].X = values
    return mdata


def put(value: float):
    def change(values: np.ndarray) -> None:
        values[2, 3] = value

    return change


@pytest.mark.parametrize("kind", [Counts(), Peaks()])
def test_negative_counts(kind):
    message = (
        r"mdata\['rna'\]\.X has negative values \(min -0.31\); \w+ needs raw counts. Pass layer=... or use Features"
    )
    assert_refused(ValueError, message, changed("rna", put(-0.31)), {"rna": kind})


@pytest.mark.parametrize("kind", [Counts(), Peaks()])
def test_counts_that_are_not_integers(kind):
    message = r"mdata\['rna'\]\.X has values that are not integers \(such as 1.5\); \w+ needs raw counts"
    assert_refused(ValueError, message, changed("rna", put(1.5)), {"rna": kind})


def test_counts_that_are_not_integers_in_a_sparse_layer():
    mdata = simulate()
    mdata["rna"].layers["log"] = sparse.csr_matrix(np.log1p(mdata["rna"].X.toarray()))
    message = r"mdata\['rna'\]\.layers\['log'\] has values that are not integers"
    assert_refused(ValueError, message, mdata, {"rna": Counts(layer="log")})


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("modality", "kind"), [("rna", Counts()), ("rna", Peaks()), ("protein", Features())])
def test_nan_or_inf(bad, modality, kind):
    message = rf"mdata\['{modality}'\]\.X has 1 NaN or infinite values; expected finite numbers. Remove or impute them"
    assert_refused(ValueError, message, changed(modality, put(bad)), {modality: kind})


def test_nan_in_a_sparse_layer():
    mdata = simulate()
    layer = mdata["rna"].X.copy()
    layer.data[:2] = np.nan
    mdata["rna"].layers["raw"] = layer
    message = r"mdata\['rna'\]\.layers\['raw'\] has 2 NaN or infinite values"
    assert_refused(ValueError, message, mdata, {"rna": Counts(layer="raw")})


def test_nan_while_kinds_are_inferred():
    with pytest.raises(ValueError, match=r"mdata\['rna'\]\.X has 1 NaN or infinite values"):
        CrossModalVAE(changed("rna", put(np.nan)))


def test_no_counts_at_all():
    mdata = simulate()
    mdata["rna"].X = sparse.csr_matrix(mdata["rna"].shape, dtype=np.float32)
    assert_refused(ValueError, r"mdata\['rna'\]\.X holds no counts: every value is 0. Drop this modality", mdata)


def test_values_other_than_zero_and_one():
    message = r"mdata\['protein'\]\.X has values other than 0 and 1 .* Use likelihood='gaussian'"
    assert_refused(ValueError, message, simulate(), {"protein": Features(likelihood="bernoulli")})


def test_a_modality_without_cells():
    mdata = MuData({"rna": simulate()["rna"].copy(), "protein": simulate()["protein"][:0].copy()})
    assert_refused(ValueError, r"mdata\['protein'\]\.X has no cells \(shape \(0, 13\)\). Drop this modality", mdata)


def test_a_modality_without_features():
    mdata = MuData({"rna": simulate()["rna"].copy(), "protein": simulate()["protein"][:, :0].copy()})
    assert_refused(ValueError, r"mdata\['protein'\]\.X has no features \(shape \(40, 0\)\)", mdata)


def test_a_modality_without_a_matrix():
    empty = AnnData(obs=pd.DataFrame(index=simulate().obs_names), var=pd.DataFrame(index=["a", "b"]))
    mdata = MuData({"rna": empty})
    assert_refused(ValueError, r"mdata\['rna'\]\.X is empty; expected a matrix .* layer=...", mdata, {"rna": Counts()})


def test_a_mudata_without_modalities():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        empty = MuData({})
    with pytest.raises(ValueError, match=r"No modality to use: mdata is empty, or modalities is. Name at least one"):
        CrossModalVAE.setup_mudata(empty)


def test_text_in_place_of_numbers():
    mdata = simulate()
    mdata["protein"].layers["text"] = np.full(mdata["protein"].shape, "x", dtype=object)
    message = r"mdata\['protein'\]\.layers\['text'\] has dtype object; expected numbers"
    assert_refused(ValueError, message, mdata, {"protein": Features(layer="text")})


def test_duplicate_feature_names():
    rna = simulate()["rna"].copy()
    rna.var_names = ["same", "same", *rna.var_names[2:]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mdata = MuData({"rna": rna})
    message = (
        r"mdata\['rna'\]\.var_names has 1 duplicate names \(such as 'same'\).*mdata\['rna'\]\.var_names_make_unique"
    )
    assert_refused(ValueError, message, mdata, {"rna": Counts()})


def test_duplicate_cell_names():
    rna = simulate()["rna"].copy()
    rna.obs_names = ["same", "same", *rna.obs_names[2:]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mdata = MuData({"rna": rna})
        message = r"obs_names has 1 duplicate names \(such as 'same'\); expected unique names.*obs_names_make_unique"
        assert_refused(ValueError, message, mdata, {"rna": Counts()})


def test_a_missing_layer_offers_the_closest():
    mdata = simulate()
    mdata["rna"].layers["counts"] = mdata["rna"].X.copy()
    message = r"mdata\['rna'\]\.layers\['count'\] does not exist. Did you mean 'counts'"
    assert_refused(KeyError, message, mdata, {"rna": Counts(layer="count")})


def test_a_missing_modality_offers_the_closest():
    message = "mdata has no modality 'protien'. Did you mean 'protein'"
    assert_refused(KeyError, message, simulate(), {"protien": Features()})
    with pytest.raises(KeyError, match=r"mdata has no modality 'xyz'. There is: 'rna', 'protein'"):
        CrossModalVAE.setup_mudata(simulate(), ["xyz"])


@pytest.mark.usefixtures("unchecked_types")
def test_a_kind_that_is_none():
    message = r"modalities\[.rna.\] is .counts.; expected a modality, such as Counts\(\), .* or Images\(\)"
    assert_refused(TypeError, message, simulate(), {"rna": "counts"})


@pytest.mark.parametrize(("key", "role"), [("batch_key", "batch"), ("labels_key", "labels"), ("marker_key", "marker")])
def test_a_missing_column_offers_the_closest(key, role):
    wrong = {"batch_key": "Batch", "labels_key": "labell", "marker_key": "marker1"}[key]
    right = {"batch_key": "batch", "labels_key": "label", "marker_key": "marker"}[key]
    message = rf"{role}_key='{wrong}' is neither in mdata.obs nor in the .obs of a modality. Did you mean '{right}'"
    assert_refused(KeyError, message, simulate(), **{key: wrong})


def test_labels_that_are_absent_or_all_of_one_class():
    for fill, found in ((np.nan, "no labelled cell"), ("T cell", "only the class 'T cell'")):
        mdata = simulate()
        mdata.obs["label"] = pd.Series([fill] * 40, index=mdata.obs_names, dtype=object)
        message = rf"mdata.obs\['label'\] holds {found}; labels need at least two classes. Choose another labels_key"
        assert_refused(ValueError, message, mdata, labels_key="label")


def test_labels_that_are_all_unlabelled():
    mdata = simulate()
    mdata.obs["label"] = "unknown"
    message = "holds no labelled cell"
    assert_refused(ValueError, message, mdata, labels_key="label", unlabeled_category="unknown")


def test_a_batch_that_is_missing_for_some_cells():
    mdata = simulate()
    mdata.obs.loc[mdata.obs_names[:3], "batch"] = None
    message = r"mdata.obs\['batch'\] has no batch for 3 cells; expected one for each"
    assert_refused(ValueError, message, mdata, batch_key="batch")


def test_a_marker_with_nan():
    mdata = simulate()
    mdata.obs.loc[mdata.obs_names[:3], "marker"] = np.nan
    message = r"mdata.obs\['marker'\] has 3 NaN or infinite values; a marker needs a finite number for each cell"
    assert_refused(ValueError, message, mdata, marker_key="marker")


def test_a_marker_that_is_constant():
    mdata = simulate()
    mdata.obs["marker"] = 1.0
    assert_refused(ValueError, r"mdata.obs\['marker'\] is constant; a marker must vary", mdata, marker_key="marker")


def test_a_marker_of_words():
    message = r"mdata.obs\['label'\] has 40 NaN or infinite values"
    assert_refused(ValueError, message, simulate(), marker_key=["marker", "label"])


def test_modalities_that_contradict_each_other_about_a_cell():
    mdata = simulate()
    del mdata.obs["label"]
    mdata["rna"].obs["label"] = ["x", "y"] * 20
    mdata["protein"].obs["label"] = ["x"] * 40
    message = r"mdata\['protein'\]\.obs\['label'\] contradicts another modality about cell .* Decide in mdata.obs"
    assert_refused(ValueError, message, mdata, labels_key="label")


def test_cells_along_the_other_axis():
    mdata = MuData({"a": as_adata(np.ones((4, 3)), list("wxyz"), "f"), "b": as_adata(np.eye(5, 3), list("lmnop"), "f")},
                   axis=1)  # fmt: skip
    assert_refused(ValueError, r"mdata.axis is 1; expected 0 .* Build MuData with axis=0", mdata, {"a": Features()})


def test_a_modality_named_like_the_shared_block():
    mdata = simulate(kinds={"shared": "sparse", "protein": "features"})
    with pytest.raises(ValueError, match="A modality is named 'shared', which is the name of the shared block"):
        CrossModalVAE(mdata)


def test_a_modality_that_was_changed_without_update():
    mdata = simulate()
    more = simulate(50)["rna"]
    mdata.mod["rna"] = more
    message = r"mdata\['rna'\] holds 10 cells that mdata.obs lacks. Call mdata.update\(\)"
    assert_refused(ValueError, message, mdata, {"rna": Counts()})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_shared": 0}, "Block 'shared' has width 0"),
        ({"n_hidden": 0}, "n_hidden is 0; expected at least 1"),
        ({"n_layers": 0}, "n_layers is 0"),
        ({"dropout_rate": 1.0}, "dropout_rate is 1.0"),
        ({"n_private": {"dna": 3}}, r"n_private names \['dna'\]; the modalities are \['rna', 'protein'\]"),
    ],
)
def test_sizes_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        CrossModalVAE(simulate(), **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_epochs": 0}, "max_epochs is 0; expected at least 1, or None"),
        ({"pretrain_epochs": -1}, "pretrain_epochs is -1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"patience": -1}, "patience is -1"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; expected a number above 0"),
        ({"validation_size": 2.0}, "validation_size is 2.0; expected a share"),
    ],
)
def test_settings_of_training_that_make_no_sense(settings, message):
    model = CrossModalVAE(simulate(), n_hidden=4)
    with pytest.raises(ValueError, match=message):
        model.train(**({"max_epochs": 1} | settings))


def test_a_layout_for_other_modalities():
    from cellprism.latents import LatentLayout

    layout = LatentLayout.split(["rna", "atac"], n_shared=2, n_private=1)
    with pytest.raises(ValueError, match=r"The layout speaks of the modalities \['atac', 'rna'\]; the data have"):
        CrossModalVAE(simulate(), layout=layout)


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.uint16, bool])
@pytest.mark.parametrize("store", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_any_dtype_and_storage_gives_the_same_latents(dtype, store):
    values = np.random.default_rng(0).integers(0, 2 if dtype is bool else 6, (30, 8))
    latents = []
    for matrix in (sparse.csr_matrix(values.astype(np.float32)), store(values.astype(dtype))):
        mdata = MuData({"rna": as_adata(matrix, [f"c{i}" for i in range(30)], "g")})
        CrossModalVAE.setup_mudata(mdata, {"rna": Counts()})
        model = CrossModalVAE(mdata, n_shared=3, n_private=0, n_hidden=8, seed=0)
        model.train(max_epochs=1, enable_progress_bar=False, accelerator="cpu")
        latents.append(model.get_latent_representation())
    np.testing.assert_allclose(latents[1], latents[0], atol=1e-2)
