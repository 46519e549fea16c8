import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from tests.contracts.small_module import outputs_of, small_dataset, small_module

from cellprism.latents import LatentLayout
from cellprism.objectives import Anchor, Dimensions

DISTANCES = ["contrastive", "l1", "l2"]
PAIRED = slice(8, 16), slice(0, 8)
"""Rows of RNA, and rows of protein, of the cells that have both."""


def loss_of(distance: str, latents, with_latents, **settings) -> float:
    objective = Anchor(distance=distance, **settings)
    module = small_module(objective)
    return float(objective.loss(with_latents(module, latents), module.networks[0]).detach())


def random_latents(scale: float = 1.0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: scale * torch.randn(16, 3, generator=generator) for name in ("rna", "protein")}


def coinciding(latents: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    found = {name: latent.clone() for name, latent in latents.items()}
    found["protein"][PAIRED[1]] = found["rna"][PAIRED[0]]
    return found


def test_distances_are_those_of_the_paired_cells(with_latents):
    latents = random_latents()
    difference = latents["rna"][PAIRED[0]] - latents["protein"][PAIRED[1]]
    assert loss_of("l1", latents, with_latents) == pytest.approx(float(difference.abs().sum(1).mean()), rel=1e-5)
    assert loss_of("l2", latents, with_latents) == pytest.approx(float(difference.square().sum(1).mean()), rel=1e-5)


def test_the_contrastive_loss_is_infonce_among_the_pairs_of_an_experimental_batch(with_latents):
    latents, temperature = random_latents(), 0.2
    first, second = (latents[name][rows].double().numpy() for name, rows in zip(latents, PAIRED, strict=True))
    unit_first, unit_second = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (first, second))
    logits = unit_first @ unit_second.T / temperature
    batches = small_dataset().batch_codes[8:16].numpy()
    logits = np.where(batches[:, None] == batches[None, :], logits, -np.inf)
    partner = np.diag(logits)
    expected = np.mean([logsumexp(logits, axis=axis) - partner for axis in (0, 1)])
    found = loss_of("contrastive", latents, with_latents, temperature=temperature)
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("distance", ["l1", "l2"])
def test_distances_are_zero_where_the_two_views_coincide(distance, with_latents):
    assert loss_of(distance, coinciding(random_latents()), with_latents) == 0


def test_the_contrastive_loss_is_least_where_partners_are_told_apart(with_latents):
    coincide = loss_of("contrastive", coinciding(random_latents(30.0)), with_latents)
    apart = loss_of("contrastive", random_latents(30.0), with_latents)
    assert coincide < apart


def test_the_contrastive_loss_of_latents_that_all_coincide_is_that_of_guessing(with_latents):
    same = {name: torch.ones(16, 3) for name in ("rna", "protein")}
    n_candidates = 4  # eight pairs, four in each experimental batch
    assert loss_of("contrastive", same, with_latents) == pytest.approx(math.log(n_candidates), rel=1e-5)


def test_partners_are_sought_within_an_experimental_batch():
    module = small_module(Anchor())
    paired, batches = torch.arange(8, 16), small_dataset().batch_codes[8:16]

    def loss(cells: torch.Tensor) -> float:
        return float(Anchor().loss(outputs_of(module, small_dataset().take(cells)), module.networks[0]).detach())

    apart = (loss(paired[batches == 0]) + loss(paired[batches == 1])) / 2
    assert loss(paired) == pytest.approx(apart, rel=1e-5)


@pytest.mark.parametrize("distance", DISTANCES)
def test_one_pair_in_a_batch_is_no_special_case(distance):
    objective = Anchor(distance=distance)
    module = small_module(objective)
    outputs = outputs_of(module, small_dataset().take(torch.tensor([1, 9, 20])))
    loss = objective.loss(outputs, module.networks[0])
    assert torch.isfinite(loss)
    assert distance != "contrastive" or float(loss.detach()) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("distance", DISTANCES)
def test_without_pairs_there_is_no_term(distance):
    objective = Anchor(distance=distance)
    module = small_module(objective)
    unpaired = small_dataset({"rna": range(12), "protein": range(12, 24)})
    assert objective.terms(module(unpaired.take(torch.arange(24))), module.networks[0]) == {}


def test_an_unknown_distance_is_named():
    with pytest.raises(ValueError, match="Anchor has distance 'cosine'; expected 'contrastive', 'l1' or 'l2'"):
        Anchor(distance="cosine")  # type: ignore[arg-type]


def test_an_anchor_needs_a_block_that_two_modalities_see():
    layout = LatentLayout.split(["rna", "atac"], n_shared=2, n_private=1)
    with pytest.raises(ValueError, match="Anchor needs a block that two modalities see; 'rna' is seen by one"):
        Anchor(block="rna").build(Dimensions(("rna", "atac"), layout, 0, 0))
