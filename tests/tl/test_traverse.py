from types import SimpleNamespace

import numpy as np
import pytest
from anndata import AnnData
from sklearn.decomposition import PCA

from cellprism.latents import LatentLayout
from cellprism.tl._rank_features_along import rank_features_along
from cellprism.tl._traverse import traverse

WIDTHS = {"shared": 4, "rna": 2, "nucleus": 3}


class FakeModel:
    """Decodes tables as the latents side by side, and images as their means; keeps what it was asked."""

    def __init__(self, without=()):
        random = np.random.default_rng(0)
        self.layout = LatentLayout.split(["rna", "nucleus"], n_shared=4, n_private={"rna": 2, "nucleus": 3})
        self.latents = {
            name: (random.normal(size=(300, width)) * np.arange(width, 0, -1) + 5).astype(np.float32)
            for name, width in WIDTHS.items()
        }
        self.latents["shared"][::7] = np.nan
        for name in without:
            self.latents[name][:] = np.nan
        self.seen = SimpleNamespace()

    def get_latent_representation(self, mdata=None, block="shared", modality=None):
        assert modality is None
        return self.latents[block] if mdata is None else self.latents[block][mdata]

    def decode(self, modality, latents, *, transform_batch=None, library_size=None, identity=None):
        self.seen = SimpleNamespace(latents=latents, asked=(transform_batch, library_size, identity))
        rows = np.concatenate([latents[name] for name in self.layout.blocks_of(modality) if name in latents], axis=1)
        if modality == "rna":
            return AnnData(rows)
        images = np.tile(rows.mean(axis=1)[:, None, None, None], (1, 2, 4, 4))
        return AnnData(obsm={"image": images}, uns={"channels": ["DNA", "actin"]})


@pytest.fixture
def model():
    return FakeModel()


def known(model, block="shared"):
    latents = model.latents[block].astype(float)
    return latents[np.isfinite(latents).all(axis=1)]


@pytest.mark.parametrize(("block", "component"), [("shared", 0), ("shared", 2), ("rna", 1)])
def test_steps_lie_on_one_component_and_all_else_is_at_the_mean(model, block, component):
    traversal = traverse(model, block, "rna", component=component, n_steps=5)
    pca = PCA(svd_solver="full").fit(known(model, block))
    scores = pca.transform(model.seen.latents[block]) / np.sqrt(pca.explained_variance_)
    np.testing.assert_allclose(scores[:, component], traversal.obs["position"], atol=1e-5)
    np.testing.assert_allclose(np.delete(scores, component, axis=1), 0, atol=1e-5)
    other = "rna" if block == "shared" else "shared"
    np.testing.assert_allclose(model.seen.latents[other], np.tile(known(model, other).mean(axis=0), (5, 1)), rtol=1e-6)
    assert traversal.uns["traversal"]["variance_ratio"] == pytest.approx(pca.explained_variance_ratio_[component])


def test_steps_are_evenly_spaced_between_the_percentiles(model):
    obs = traverse(model, "shared", "rna", n_steps=9, limits=(10, 90)).obs
    pca = PCA(1, svd_solver="full").fit(known(model))
    scores = pca.transform(known(model))[:, 0] / np.sqrt(pca.explained_variance_[0])
    np.testing.assert_allclose(obs["position"], np.linspace(*np.percentile(scores, [10, 90]), 9), atol=1e-6)
    assert list(obs["percentile"].iloc[[0, -1]]) == pytest.approx([10, 90], abs=0.5)
    assert obs["percentile"].is_monotonic_increasing
    assert list(obs["component"]) == [0] * 9


def test_decoded_tables_and_images_are_kept_as_they_come(model):
    table = traverse(model, "shared", "rna", n_steps=3)
    assert table.shape == (3, 6)
    assert list(table.obs_names) == ["step 0", "step 1", "step 2"]
    images = traverse(model, "shared", "nucleus", n_steps=3)
    assert images.obsm["image"].shape == (3, 2, 4, 4)
    assert images.uns["channels"] == ["DNA", "actin"]
    assert images.uns["traversal"]["block"] == "shared"


def test_a_private_block_is_left_to_the_shared_decoder_if_asked(model):
    traversal = traverse(model, "shared", "rna", fill="shared")
    assert list(model.seen.latents) == ["shared"]
    assert traversal.uns["traversal"]["fill"] == "shared"


def test_a_private_block_of_which_no_cell_has_a_latent_is_left_to_the_shared_decoder():
    model = FakeModel(without=["rna"])
    assert traverse(model, "shared", "rna").uns["traversal"]["fill"] == "shared"
    assert list(model.seen.latents) == ["shared"]


def test_the_axes_may_be_those_along_which_features_were_ranked(model, tmp_path):
    cells = AnnData(np.random.default_rng(0).random((300, 3)), obsm={"X_shared": model.latents["shared"]})
    rank_features_along(cells, "X_shared", n_components=2)
    ours = traverse(model, "shared", "rna", component=1)
    theirs = traverse(model, "shared", "rna", component=1, along=cells.uns["rank_features_along"])
    np.testing.assert_allclose(ours.X, theirs.X, rtol=1e-5)


def test_other_cells_span_another_component(model):
    some = np.arange(0, 100)
    traverse(model, "rna", "rna", mdata=some, n_steps=2)
    pca = PCA(svd_solver="full").fit(model.latents["rna"][some].astype(float))
    np.testing.assert_allclose(pca.transform(model.seen.latents["rna"])[:, 1:], 0, atol=1e-5)
    shared = model.latents["shared"][some].astype(float)
    np.testing.assert_allclose(model.seen.latents["shared"][0], np.nanmean(shared, axis=0), rtol=1e-6)


def test_what_is_asked_of_the_decoder_is_handed_on(model):
    traverse(model, "shared", "nucleus", transform_batch="day 1", library_size=1e4, identity="CD8")
    assert model.seen.asked == ("day 1", 1e4, "CD8")


@pytest.mark.parametrize(
    ("block", "modality", "options", "error", "message"),
    [
        ("nucleus", "rna", {}, ValueError, "'nucleus' is not seen by 'rna', which sees 'shared', 'rna'"),
        ("shared", "atac", {}, KeyError, "no modality 'atac'"),
        ("shared", "rna", {"component": 4}, ValueError, "component=4, expected 0 to 3"),
        ("shared", "rna", {"component": -1}, ValueError, "component=-1"),
        ("shared", "rna", {"n_steps": 1}, ValueError, "n_steps=1, expected at least 2"),
        ("shared", "rna", {"limits": (98, 2)}, ValueError, "two increasing percentiles"),
        ("shared", "rna", {"fill": "donor"}, ValueError, "fill='donor', expected one of"),
        ("rna", "rna", {"fill": "shared"}, ValueError, "fill='shared' and the private block 'rna'"),
        ("shared", "rna", {"along": {"names": 1}}, KeyError, "tl.rank_features_along wrote"),
    ],
)
def test_traverse_says_what_does_not_fit(model, block, modality, options, error, message):
    with pytest.raises(error, match=message):
        traverse(model, block, modality, **options)


def test_blocks_without_latents_are_refused(model):
    with pytest.raises(ValueError, match=r"0 of 300 cells with a latent in block 'shared'"):
        traverse(FakeModel(without=["shared"]), "shared", "rna")
    with pytest.raises(ValueError, match=r"no cell with a latent in \['shared'\], expected some"):
        traverse(FakeModel(without=["shared"]), "rna", "rna")


def test_axes_of_another_block_are_refused(model):
    cells = AnnData(np.random.default_rng(0).random((300, 3)), obsm={"X_rna": model.latents["rna"]})
    rank_features_along(cells, "X_rna", n_components=2)
    with pytest.raises(ValueError, match="axes of width 2, expected 4, the width of block 'shared'"):
        traverse(model, "shared", "rna", along=cells.uns["rank_features_along"])


def test_an_untrained_model_says_so_itself(model):
    def refuse(*args, **kwargs):
        raise RuntimeError("This model is not trained. Call train() first.")

    model.get_latent_representation = refuse
    with pytest.raises(RuntimeError, match="not trained"):
        traverse(model, "shared", "rna")
