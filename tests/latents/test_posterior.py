import numpy as np
import torch
from torch.distributions import Normal, kl_divergence

from cellprism.latents import Amortised, LatentLayout, Posterior, product_of_experts


def posterior(n_rows: int, seed: int = 0, width: int = 3) -> Posterior:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(n_rows, width, generator=generator)
    return Posterior(mean, -torch.rand(n_rows, width, generator=generator) * 2)


def test_the_divergence_from_the_prior_is_that_of_torch():
    found = posterior(6)
    expected = kl_divergence(Normal(found.mean, found.log_scale.exp()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(found.divergence_from_prior(), expected)


def test_the_divergence_of_the_prior_from_itself_is_zero():
    prior = Posterior(torch.zeros(4, 2), torch.zeros(4, 2))
    assert torch.equal(prior.divergence_from_prior(), torch.zeros(4))


def test_the_divergence_from_another_posterior_is_that_of_torch_in_the_same_order():
    first, second = posterior(6, seed=1), posterior(6, seed=2)
    normal = {name: Normal(p.mean, p.log_scale.exp()) for name, p in (("first", first), ("second", second))}
    torch.testing.assert_close(first.divergence_from(second), kl_divergence(normal["first"], normal["second"]).sum(1))
    torch.testing.assert_close(second.divergence_from(first), kl_divergence(normal["second"], normal["first"]).sum(1))


def test_the_divergence_from_the_prior_is_that_from_a_standard_normal_posterior():
    found, prior = posterior(6), Posterior(torch.zeros(6, 3), torch.zeros(6, 3))
    torch.testing.assert_close(found.divergence_from(prior), found.divergence_from_prior())


def test_samples_have_the_posterior_mean_and_scale():
    torch.manual_seed(0)
    found = posterior(2)
    draws = torch.stack([found.sample() for _ in range(6000)])
    torch.testing.assert_close(draws.mean(0), found.mean, atol=0.07, rtol=0)
    torch.testing.assert_close(draws.std(0), found.log_scale.exp(), atol=0, rtol=0.06)


def test_gradients_pass_through_samples():
    mean, log_scale = torch.zeros(2, 3, requires_grad=True), torch.zeros(2, 3, requires_grad=True)
    Posterior(mean, log_scale).sample().sum().backward()
    assert torch.equal(mean.grad, torch.ones(2, 3))
    assert (log_scale.grad != 0).any()


def test_a_product_of_experts_is_the_normalised_product_of_densities():
    first, second = posterior(1, seed=1, width=1), posterior(1, seed=2, width=1)
    product = product_of_experts([first, second], [torch.tensor([0]), torch.tensor([0])], 1)
    grid = torch.linspace(-8, 8, 20001, dtype=torch.float64)

    def log_density(found: Posterior) -> torch.Tensor:
        return Normal(found.mean.double().item(), found.log_scale.double().exp().item()).log_prob(grid)

    density = (log_density(first) + log_density(second) - Normal(0.0, 1.0).log_prob(grid)).exp()
    density = density / density.sum()
    mean = float((density * grid).sum())
    variance = float((density * (grid - mean) ** 2).sum())
    np.testing.assert_allclose(product.mean.item(), mean, rtol=1e-4)
    np.testing.assert_allclose(product.log_scale.exp().item() ** 2, variance, rtol=1e-4)


def test_a_cell_with_one_expert_keeps_its_posterior_and_a_cell_with_none_has_the_prior():
    first, second = posterior(2, seed=1), posterior(2, seed=2)
    product = product_of_experts([first, second], [torch.tensor([0, 3]), torch.tensor([1, 3])], 5)
    torch.testing.assert_close(product.mean[0], first.mean[0])
    torch.testing.assert_close(product.log_scale[1], second.log_scale[0])
    assert torch.equal(product.mean[[2, 4]], torch.zeros(2, 3))
    assert torch.equal(product.log_scale[[2, 4]], torch.zeros(2, 3))


def test_a_product_does_not_depend_on_the_order_of_experts():
    first, second, cells = posterior(4, seed=1), posterior(4, seed=2), torch.arange(4)
    one, other = (product_of_experts(experts, [cells, cells], 4) for experts in ([first, second], [second, first]))
    torch.testing.assert_close(one.mean, other.mean)


def test_an_expert_that_knows_nothing_changes_nothing():
    known, cells = posterior(3), torch.arange(3)
    ignorant = Posterior(torch.zeros(3, 3), torch.zeros(3, 3))
    product = product_of_experts([known, ignorant], [cells, cells], 3)
    torch.testing.assert_close(product.mean, known.mean)
    torch.testing.assert_close(product.log_scale, known.log_scale)


def test_scales_are_between_the_least_one_and_that_of_the_prior():
    torch.manual_seed(0)
    source = Amortised(4, LatentLayout.split(["rna", "atac"], n_shared=3, n_private=2), "rna")
    for found in source(100 * torch.randn(50, 4)).values():
        assert (found.log_scale <= 0).all()
        assert (found.log_scale >= -7).all()


def test_typical_latents_are_mean_and_spread_of_the_training_cells():
    source = Amortised(4, LatentLayout.split(["rna", "atac"], n_shared=3, n_private=2), "rna")
    latents = torch.randn(20, 5)
    source.set_typical(latents)
    mean, scale = source.typical("rna")
    torch.testing.assert_close(mean, latents[:, 3:].mean(0))
    torch.testing.assert_close(scale, latents[:, 3:].std(0, correction=0))
