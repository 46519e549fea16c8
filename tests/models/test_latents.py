import numpy as np
import pytest
import torch
from tests.contracts.simulated import simulate

from cellprism import CrossModalVAE
from cellprism.latents import Posterior, product_of_experts


def measured(model: CrossModalVAE, modality: str) -> np.ndarray:
    return model.mdata.obs_names.isin(model.mdata.mod[modality].obs_names)


def test_the_shared_block_is_known_for_every_cell(mosaic_model):
    latents = mosaic_model.get_latent_representation()
    assert latents.shape == (40, 3)
    assert latents.dtype == np.float32
    assert np.isfinite(latents).all()


@pytest.mark.parametrize(("block", "modality"), [("shared", "rna"), ("shared", "protein"), ("rna", None)])
def test_a_cell_without_the_modality_has_nan(mosaic_model, block, modality):
    latents = mosaic_model.get_latent_representation(block=block, modality=modality)
    np.testing.assert_array_equal(np.isnan(latents).any(1), ~measured(mosaic_model, modality or block))


def test_a_cell_with_one_modality_has_that_modalitys_latent(mosaic_model):
    alone = measured(mosaic_model, "rna") & ~measured(mosaic_model, "protein")
    joint = mosaic_model.get_latent_representation()
    from_rna = mosaic_model.get_latent_representation(modality="rna")
    np.testing.assert_allclose(joint[alone], from_rna[alone], atol=1e-6)


def test_a_paired_cell_has_the_product_of_experts(mosaic_model):
    both = measured(mosaic_model, "rna") & measured(mosaic_model, "protein")
    experts = []
    for modality in ("rna", "protein"):
        mean, std = mosaic_model.get_latent_representation(modality=modality, return_std=True)
        experts.append(Posterior(torch.from_numpy(mean[both]), torch.from_numpy(std[both]).log()))
    cells = torch.arange(both.sum())
    product = product_of_experts(experts, [cells, cells], int(both.sum()))
    mean, std = mosaic_model.get_latent_representation(return_std=True)
    np.testing.assert_allclose(mean[both], product.mean.numpy(), atol=1e-5)
    np.testing.assert_allclose(std[both], product.log_scale.exp().numpy(), rtol=1e-4)


def test_latents_do_not_depend_on_the_batch_size(mosaic_model):
    whole = mosaic_model.get_latent_representation()
    for batch_size in (1, 7, 39):
        found = mosaic_model.get_latent_representation(batch_size=batch_size)
        np.testing.assert_allclose(found, whole, atol=1e-5)


@pytest.mark.parametrize("indices", [[3, 0, 3], np.arange(40) % 3 == 0, [-1, 5], []])
def test_indices_choose_cells(mosaic_model, indices):
    whole = mosaic_model.get_latent_representation()
    found = mosaic_model.get_latent_representation(indices=indices)
    chosen = whole[np.asarray(indices, dtype=None if len(indices) else int)]
    np.testing.assert_allclose(found, chosen, atol=1e-6)


def test_indices_out_of_reach_are_refused(mosaic_model):
    with pytest.raises(IndexError, match="indices reach from 40 to 40; mdata has rows 0 to 39"):
        mosaic_model.get_latent_representation(indices=[40])


def test_samples_have_the_posterior_mean_and_spread(mosaic_model):
    mean, std = mosaic_model.get_latent_representation(return_std=True)
    samples = mosaic_model.get_latent_representation(n_samples=2000)
    assert samples.shape == (2000, 40, 3)
    np.testing.assert_allclose(samples.mean(0), mean, atol=0.1)
    np.testing.assert_allclose(samples.std(0), std, rtol=0.12)
    again = mosaic_model.get_latent_representation(n_samples=2000)
    np.testing.assert_array_equal(samples, again)


def test_an_unknown_block_or_modality_offers_the_closest(mosaic_model):
    with pytest.raises(KeyError, match=r"There is no block 'shard'. Did you mean 'shared'"):
        mosaic_model.get_latent_representation(block="shard")
    with pytest.raises(KeyError, match=r"no modality 'protien'. Did you mean 'protein'"):
        mosaic_model.get_latent_representation(modality="protien")


def test_a_private_block_is_seen_by_its_own_modality_only(mosaic_model):
    with pytest.raises(ValueError, match="Block 'rna' is not seen by 'protein', only by 'rna'"):
        mosaic_model.get_latent_representation(block="rna", modality="protein")


@pytest.mark.parametrize(
    "ask",
    [
        lambda model: model.get_latent_representation(),
        lambda model: model.reconstruct("rna"),
        lambda model: model.translate("rna", "protein"),
        lambda model: model.impute("protein"),
        lambda model: model.write(),
    ],
)
def test_an_untrained_model_says_to_train(ask):
    with pytest.raises(RuntimeError, match=r"This CrossModalVAE is not trained. Call train\(\) first"):
        ask(CrossModalVAE(simulate(), n_hidden=8))


def test_blocks_may_be_shared_by_some_modalities(train):
    from cellprism.latents import Block, LatentLayout

    kinds = {"rna": "sparse", "protein": "features", "atac": "counts"}
    blocks = (Block("shared", 3, tuple(kinds)), Block("surface", 2, ("rna", "protein")), Block("atac", 1, ("atac",)))
    mdata = simulate(kinds=kinds, present={"rna": range(30), "protein": range(20, 40), "atac": range(10, 40)})
    model = train(mdata, layout=LatentLayout(blocks))
    surface = model.get_latent_representation(block="surface")
    assert np.isfinite(surface).all(1).sum() == 40
    assert np.isfinite(model.translate("atac", "rna").X).all()
    assert np.isfinite(model.translate("atac", "protein", fill="mean").X).all()
