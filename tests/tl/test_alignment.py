import numpy as np
import pandas as pd
import pytest

from cellprism.tl import alignment, foscttm, label_transfer, partner_recall


def test_alignment_scores_held_out_cells_by_the_training_cells_of_the_other_modality(paired, embeddings, held_out):
    x, y, labels = embeddings
    scores = alignment(paired, "rna", "atac", labels_key="cell_type", held_out=held_out)
    assert list(scores.index) == ["held_out", "training"]
    expected = {
        "foscttm": foscttm(x[40:], y[40:]),
        "partner_recall": partner_recall(x[40:], y[40:], k=10),
        "label_transfer rna to atac": label_transfer(x[:40], labels[:40], y[40:], labels[40:]),
        "label_transfer atac to rna": label_transfer(y[:40], labels[:40], x[40:], labels[40:]),
    }
    for column, value in expected.items():
        assert scores.loc["held_out", column] == pytest.approx(value, abs=1e-12), column
    forward, backward = list(expected.values())[2:]
    assert scores.loc["held_out", "label_transfer both"] == pytest.approx((forward + backward) / 2)
    assert scores.loc["training", "foscttm"] == pytest.approx(foscttm(x[:40], y[:40]))
    assert list(scores["n_pairs"]) == [20, 40]


def test_alignment_matches_cells_by_name_whatever_their_order(paired, shuffled, held_out):
    options = {"labels_key": "cell_type", "held_out": held_out}
    expected = alignment(paired, "rna", "atac", **options)
    pd.testing.assert_frame_equal(alignment(shuffled, "rna", "atac", **options), expected)


def test_alignment_takes_a_mask_or_a_series_or_names(paired, held_out):
    mask = np.isin(paired.obs_names, held_out)
    expected = alignment(paired, "rna", "atac", held_out=held_out)
    pd.testing.assert_frame_equal(alignment(paired, "rna", "atac", held_out=mask), expected)
    series = pd.Series(mask, index=paired.obs_names)[::-1]
    pd.testing.assert_frame_equal(alignment(paired, "rna", "atac", held_out=series), expected)


def test_alignment_leaves_out_cells_without_an_embedding(paired, embeddings):
    x, y, _ = embeddings
    missing = y.copy()
    missing[:7] = np.nan
    paired["atac"].obsm["X_shared"] = missing
    scores = alignment(paired, "rna", "atac")
    assert scores.loc["all", "n_pairs"] == 53
    assert scores.loc["all", "foscttm"] == pytest.approx(foscttm(x[7:], y[7:]))


def test_alignment_of_unpaired_cells_has_labels_but_no_partners(unpaired, embeddings):
    x, y, labels = embeddings
    scores = alignment(unpaired, "rna", "atac", labels_key="cell_type")
    assert scores[["foscttm", "partner_recall"]].isna().all(axis=None)
    assert scores.loc["all", "label_transfer rna to atac"] == label_transfer(x, labels, y, labels)


def test_alignment_finds_labels_that_only_the_mudata_has(paired):
    expected = alignment(paired, "rna", "atac", labels_key="cell_type")
    paired.obs["kind"] = paired["rna"].obs["cell_type"].reindex(paired.obs_names)
    pd.testing.assert_frame_equal(alignment(paired, "rna", "atac", labels_key="kind"), expected)


def test_alignment_does_not_change_the_mudata(paired, held_out):
    columns, keys = list(paired.obs), list(paired["rna"].obsm)
    alignment(paired, "rna", "atac", labels_key="cell_type", held_out=held_out)
    assert (list(paired.obs), list(paired["rna"].obsm)) == (columns, keys)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"key": "X_shard"}, KeyError, "Did you mean 'X_shared'"),
        ({"labels_key": "cell_typ"}, KeyError, "Did you mean 'cell_type'"),
        ({"held_out": ["nobody"]}, ValueError, "not in mdata.obs_names, such as 'nobody'"),
        ({"held_out": np.array([True, False])}, ValueError, "mask over 2 cells, expected 60"),
        ({"held_out": "test"}, ValueError, "string 'test'"),
        ({"held_out": np.zeros(60, dtype=bool)}, ValueError, "0 held-out and 60 other cells"),
    ],
)
def test_alignment_says_what_does_not_fit(paired, options, error, message):
    with pytest.raises(error, match=message):
        alignment(paired, "rna", "atac", **options)


def test_alignment_offers_the_closest_modality(paired):
    with pytest.raises(KeyError, match="Did you mean 'atac'"):
        alignment(paired, "rna", "atca")
