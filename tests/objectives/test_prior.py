from dataclasses import replace

import torch
from tests.contracts.small_module import outputs_of, small_module
from torch.distributions import Normal, kl_divergence

from cellprism.latents import Posterior
from cellprism.objectives import KLDivergence


def test_the_divergence_is_that_of_torch_per_feature():
    module = small_module(KLDivergence())
    outputs = outputs_of(module)
    terms = KLDivergence(bottleneck=0.0).terms(outputs, module.networks[0])
    assert terms.keys() == {"rna_shared", "rna_rna", "protein_shared", "protein_protein"}
    posterior = outputs.posteriors["rna", "shared"]
    expected = kl_divergence(Normal(posterior.mean, posterior.log_scale.exp()), Normal(0.0, 1.0)).sum(1).mean() / 9
    torch.testing.assert_close(terms["rna_shared"], expected)


def test_the_divergence_is_zero_where_every_posterior_is_the_prior():
    module = small_module(KLDivergence())
    outputs = outputs_of(module)
    prior = {key: Posterior(0 * p.mean, 0 * p.log_scale) for key, p in outputs.posteriors.items()}
    assert float(KLDivergence().loss(replace(outputs, posteriors=prior), module.networks[0]).detach()) == 0


def test_a_bottleneck_prices_shared_nats_alike_whatever_the_number_of_features():
    module = small_module(KLDivergence())
    outputs = outputs_of(module)
    plain = KLDivergence(bottleneck=0.0).terms(outputs, module.networks[0])
    priced = KLDivergence(bottleneck=0.5).terms(outputs, module.networks[0])
    for modality in ("rna", "protein"):
        nats = outputs.posteriors[modality, "shared"].divergence_from_prior().mean()
        torch.testing.assert_close(priced[f"{modality}_shared"] - plain[f"{modality}_shared"], 0.5 * nats)
        torch.testing.assert_close(priced[f"{modality}_{modality}"], plain[f"{modality}_{modality}"])
