import numpy as np
import pytest

from cellprism.tl import joint_umap


def test_joint_umap_stacks_the_cells_of_all_modalities_with_their_labels(shuffled, embeddings):
    x, _, labels = embeddings
    stacked = joint_umap(shuffled, labels_key="cell_type", n_neighbors=5)
    assert stacked.obsm["X_umap"].shape == (120, 2)
    assert np.isfinite(stacked.obsm["X_umap"]).all()
    assert list(stacked.obs["modality"].value_counts().sort_index()) == [60, 60]
    of_rna = stacked.obs["modality"] == "rna"
    np.testing.assert_allclose(stacked.obsm["X_shared"][of_rna.to_numpy()], x, rtol=1e-6)
    label_of_cell = dict(zip([f"cell{i:02d}" for i in range(60)], labels, strict=True))
    assert [label_of_cell[cell] for cell in stacked.obs["cell"]] == list(stacked.obs["cell_type"])


def test_joint_umap_is_the_same_at_the_same_seed_and_leaves_out_missing_cells(paired):
    embedding = paired["atac"].obsm["X_shared"].copy()
    embedding[:4] = np.nan
    paired["atac"].obsm["X_shared"] = embedding
    first, second = (joint_umap(paired, ["atac"], n_neighbors=5, random_state=3) for _ in range(2))
    assert first.n_obs == 56
    np.testing.assert_array_equal(first.obsm["X_umap"], second.obsm["X_umap"])


def test_joint_umap_refuses_embeddings_of_different_width(paired):
    paired["atac"].obsm["X_shared"] = np.zeros((60, 2))
    with pytest.raises(ValueError, match=r"widths {'rna': 3, 'atac': 2}"):
        joint_umap(paired)
