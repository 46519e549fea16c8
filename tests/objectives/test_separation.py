from dataclasses import replace

import numpy as np
import torch
from tests.contracts.small_module import outputs_of, small_module

from cellprism.latents import Posterior
from cellprism.objectives import Decorrelation
from cellprism.objectives._separation import squared_correlation


def test_squared_correlation_is_that_of_numpy():
    rng = np.random.default_rng(0)
    private, shared = rng.normal(size=(50, 2)), rng.normal(size=(50, 3))
    expected = (np.corrcoef(private.T, shared.T)[:2, 2:] ** 2).sum() / 2
    found = squared_correlation(torch.from_numpy(private).float(), torch.from_numpy(shared).float())
    np.testing.assert_allclose(float(found), expected, rtol=1e-4)


def test_a_private_block_that_repeats_the_shared_one_is_charged_and_an_independent_one_hardly():
    shared = torch.randn(500, 4)
    assert float(squared_correlation(shared, shared)) > 1
    assert float(squared_correlation(torch.randn(500, 4), shared)) < 0.05


def test_decorrelation_moves_private_blocks_only():
    module = small_module(Decorrelation())
    outputs = outputs_of(module)
    leaves = {
        key: Posterior(p.mean.detach().clone().requires_grad_(), p.log_scale.detach())
        for key, p in outputs.posteriors.items()
    }
    Decorrelation().loss(replace(outputs, posteriors=leaves), module.networks[0]).backward()
    assert leaves["rna", "rna"].mean.grad.abs().sum() > 0
    assert leaves["rna", "shared"].mean.grad is None
    assert leaves["protein", "shared"].mean.grad is None
