"""Terms about codes: what they cost, how encoders learn them, what keeps blocks apart."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from tests.contracts.small_module import N_CELLS, outputs_of, small_dataset, small_module, whole_batch
from torch.distributions import Normal, kl_divergence

from cellprism.data import CellDataset, DenseRows
from cellprism.latents import Block, FreeLatents, LatentLayout, Posterior
from cellprism.modalities import Architecture, Features
from cellprism.module import LatentModule, Outputs
from cellprism.objectives import (
    CodePrior,
    CodeRegression,
    Independence,
    NormPenalty,
    Objective,
    Reconstruction,
    SharedReconstruction,
)
from cellprism.objectives._independence import kernel_alignment

N_FEATURES_MEAN = 8
"""9 counts, 7 proteins."""


def module_with_codes(*objectives: Objective) -> LatentModule:
    """The small engine, and a code for each of its 24 cells."""
    module = small_module(*objectives)
    module.codes = random_codes(N_CELLS, module.layout)
    return module


def random_codes(n_cells: int, layout: LatentLayout) -> FreeLatents:
    codes, random = FreeLatents(n_cells, layout), torch.Generator().manual_seed(1)
    for name, width in codes.widths.items():
        codes.set(torch.arange(n_cells), {name: torch.randn(n_cells, width, generator=random)})
    with torch.no_grad():
        codes.raw_scale.copy_(torch.randn(len(codes.raw_scale), generator=random))
    return codes


def three_modalities(objective: Objective) -> tuple[LatentModule, Outputs]:
    """Six cells of a, b and c; one block is shared by all, one by two, one is private."""
    blocks = (Block("all", 2, ("a", "b", "c")), Block("two", 3, ("a", "b")), Block("one", 2, ("a",)))
    layout, n_cells = LatentLayout(blocks), 6
    torch.manual_seed(0)
    module = LatentModule(
        dict.fromkeys("abc", Features()),
        {"a": (4,), "b": (5,), "c": (6,)},
        layout=layout,
        objectives=(objective,),
        architecture=Architecture(n_hidden=4, n_layers=1, dropout_rate=0.0),
        n_batches=1,
        n_classes=0,
        n_markers=0,
        codes=random_codes(n_cells, layout),
    ).eval()
    dataset = CellDataset(
        {name: DenseRows(torch.randn(n_cells, size)) for name, size in {"a": 4, "b": 5, "c": 6}.items()},
        {name: torch.arange(n_cells) for name in "abc"},
        torch.zeros(n_cells, dtype=torch.long),
        torch.full((n_cells,), -1),
        torch.zeros(n_cells, 0),
    )
    return module, module(whole_batch(dataset), from_codes=True)


def nats_of(code: Posterior) -> torch.Tensor:
    return kl_divergence(Normal(code.mean, code.log_scale.exp()), Normal(0.0, 1.0)).sum(1)


# ---- what a code costs


def test_a_nat_costs_a_surcharge_for_each_further_modality_that_sees_the_block():
    prior = CodePrior(surcharge=0.25)
    module, outputs = three_modalities(prior)
    terms, codes = prior.terms(outputs, module.networks[0]), module.codes(torch.arange(6))
    for block, price in {"one": 1.0, "two": 1.25, "all": 1.5}.items():
        torch.testing.assert_close(terms[block], price * nats_of(codes[block]).mean() / 5)


def test_without_a_surcharge_code_prior_and_reconstruction_are_the_evidence_lower_bound():
    objectives = CodePrior(surcharge=0.0), Reconstruction(balance=0.0)
    module = module_with_codes(*objectives)
    outputs = module(whole_batch(), from_codes=True)
    found = sum(o.loss(outputs, network) for o, network in zip(objectives, module.networks, strict=True))
    codes = module.codes(torch.arange(N_CELLS))
    sees = {"shared": range(24), "rna": range(16), "protein": range(8, 24)}
    nats = sum(nats_of(codes[block])[list(cells)].sum() for block, cells in sees.items())
    log_likelihood = sum(
        (outputs.score(m, "full", outputs.own_latent(m, "full")) * outputs.n_features(m)).sum()
        for m in ("rna", "protein")
    )
    torch.testing.assert_close(found, (nats - log_likelihood) / N_CELLS / N_FEATURES_MEAN)


def test_a_paired_cell_pays_for_its_shared_code_once():
    module = module_with_codes(CodePrior(surcharge=0.0))
    paired = small_dataset().take(torch.arange(8, 16))
    losses = [
        CodePrior(surcharge=0.0).terms(module(batch, from_codes=True), module.networks[0])["shared"]
        for batch in (paired, paired.only(("rna",)))
    ]
    torch.testing.assert_close(*losses)


@pytest.mark.parametrize("objective", [CodePrior(), NormPenalty()])
def test_codes_at_the_prior_cost_nothing(objective):
    module = module_with_codes(objective)
    module.codes.is_used.fill_(False)
    loss = objective.loss(module(whole_batch(), from_codes=True), module.networks[0])
    assert float(loss.detach()) == 0


@pytest.mark.parametrize("surcharge", [-0.1, 1.1])
def test_a_surcharge_out_of_range_is_refused(surcharge):
    with pytest.raises(ValueError, match=f"surcharge {surcharge}; expected a number from 0 to 1"):
        CodePrior(surcharge=surcharge)


def test_the_norm_penalty_is_the_mean_length_of_codes_by_width():
    module = module_with_codes(NormPenalty())
    terms = NormPenalty().terms(module(whole_batch(), from_codes=True), module.networks[0])
    tables = {name: table.weight.detach().numpy() for name, table in module.codes.tables.items()}
    lengths = {name: np.sqrt((table**2).sum(1)) for name, table in tables.items()}
    assert float(terms["shared"].detach()) == pytest.approx(lengths["shared"].sum() / 24 / 3, rel=1e-5)
    assert float(terms["rna"].detach()) == pytest.approx(lengths["rna"][:16].sum() / 24 / 2, rel=1e-5)
    assert float(terms["protein"].detach()) == pytest.approx(lengths["protein"][8:].sum() / 24 / 2, rel=1e-5)


# ---- how encoders learn codes


def regression(distance: str) -> tuple[LatentModule, Outputs, dict[str, torch.Tensor]]:
    objective = CodeRegression(distance=distance)
    module = module_with_codes(objective)
    outputs = outputs_of(module)
    return module, outputs, objective.terms(outputs, module.networks[0])


CELLS_OF = {"rna": torch.arange(16), "protein": torch.arange(8, 24)}


def test_regression_on_codes_is_the_divergence_of_the_code_from_what_is_inferred():
    module, outputs, terms = regression("kl")
    assert terms.keys() == {"rna_shared", "rna_rna", "protein_shared", "protein_protein"}
    for (modality, block), inferred in outputs.posteriors.items():
        code = module.codes(CELLS_OF[modality])[block]
        nats = kl_divergence(Normal(code.mean, code.log_scale.exp()), Normal(inferred.mean, inferred.log_scale.exp()))
        torch.testing.assert_close(terms[f"{modality}_{block}"], nats.sum(1).mean() / N_FEATURES_MEAN)


def test_regression_on_codes_by_squared_error_is_that_of_the_means():
    module, outputs, terms = regression("squared_error")
    for (modality, block), inferred in outputs.posteriors.items():
        expected = torch.nn.functional.mse_loss(inferred.mean, module.codes(CELLS_OF[modality])[block].mean)
        torch.testing.assert_close(terms[f"{modality}_{block}"], expected)


@pytest.mark.parametrize("distance", ["kl", "squared_error"])
def test_regression_moves_encoders_and_no_code(distance):
    module, _, terms = regression(distance)
    sum(terms.values()).backward()
    assert all(parameter.grad is None for parameter in module.codes.parameters())
    assert all(coder.first.weight.grad.abs().sum() > 0 for coder in module.coders.values())


@pytest.mark.parametrize("distance", ["kl", "squared_error"])
def test_regression_is_zero_where_every_posterior_is_that_of_the_code(distance):
    module, outputs, _ = regression(distance)
    exact = {(m, block): outputs.code(m, block) for m, block in outputs.posteriors}
    loss = CodeRegression(distance=distance).loss(replace(outputs, posteriors=exact), module.networks[0])
    assert float(loss) == pytest.approx(0, abs=1e-6)


def test_an_unknown_distance_is_refused():
    with pytest.raises(ValueError, match="distance 'cosine'; expected 'kl' or 'squared_error'"):
        CodeRegression(distance="cosine")


def test_a_model_without_codes_says_that_there_is_nothing_to_regress_on():
    module = small_module(CodeRegression())
    with pytest.raises(ValueError, match="fits no codes to cells"):
        CodeRegression().terms(outputs_of(module), module.networks[0])


# ---- independence


def normal(n_cells: int = 200, width: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.randn(n_cells, width, generator=torch.Generator().manual_seed(seed))


def test_a_copy_is_as_dependent_as_can_be_and_independent_values_hardly():
    assert float(kernel_alignment(normal(), normal())) == pytest.approx(1, abs=1e-5)
    assert float(kernel_alignment(normal(seed=0), normal(seed=1))) < 0.1


def test_a_dependence_without_correlation_is_seen():
    angle = torch.linspace(0, 2 * torch.pi, 201)[:-1, None]
    radius = torch.cos(2 * angle)
    assert abs(np.corrcoef(angle.cos().flatten(), radius.flatten())[0, 1]) < 1e-5
    independent = float(kernel_alignment(normal(width=1, seed=0), normal(width=1, seed=1)))
    assert float(kernel_alignment(angle.cos(), radius)) > 5 * independent


def test_dependence_is_between_zero_and_one_and_the_same_in_either_order():
    first, second = normal(30), normal(30, width=3, seed=1)
    found = kernel_alignment(first, second)
    assert 0 <= float(found) <= 1
    torch.testing.assert_close(found, kernel_alignment(second, first))


def test_rotating_scaling_or_moving_a_block_changes_nothing():
    first, second = normal(40, width=3), normal(40, width=2, seed=1)
    second = second + first[:, :2]
    turned = torch.from_numpy(stats.ortho_group.rvs(3, random_state=0)).float()
    found = kernel_alignment(first, second)
    torch.testing.assert_close(kernel_alignment(5 * first @ turned + 3, second), found, rtol=1e-4, atol=1e-5)


def test_independence_moves_private_blocks_only():
    module = small_module(Independence())
    outputs = outputs_of(module)
    leaves = {
        key: Posterior(p.mean.detach().clone().requires_grad_(), p.log_scale.detach())
        for key, p in outputs.posteriors.items()
    }
    terms = Independence().terms(replace(outputs, posteriors=leaves), module.networks[0])
    sum(terms.values()).backward()
    assert terms.keys() == {"rna", "protein"}
    assert leaves["rna", "rna"].mean.grad.abs().sum() > 0
    assert leaves["rna", "shared"].mean.grad is None


def test_codes_that_do_not_vary_have_no_dependence_and_a_finite_gradient():
    constant = torch.zeros(10, 2, requires_grad=True)
    kernel_alignment(constant, normal(10)).backward()
    assert torch.isfinite(constant.grad).all()


# ---- how modalities weigh


def score_of(outputs: Outputs, modality: str) -> torch.Tensor:
    return outputs.score(modality, "full", outputs.own_latent(modality, "full"))


def test_with_balance_every_modality_weighs_alike():
    module = small_module(Reconstruction(balance=1.0))
    outputs = outputs_of(module)
    terms = Reconstruction(balance=1.0).terms(outputs, module.networks[0])
    for modality in ("rna", "protein"):
        torch.testing.assert_close(terms[modality], -score_of(outputs, modality).mean())


def test_without_balance_every_measured_value_weighs_alike():
    objective = Reconstruction(balance=0.0)
    module = small_module(objective)
    outputs = module(small_dataset().take(torch.arange(4, 24)))  # 12 rows of RNA, 16 of proteins, 20 cells
    terms = objective.terms(outputs, module.networks[0])
    for modality, n_features in {"rna": 9, "protein": 7}.items():
        of_all_values = (score_of(outputs, modality) * n_features).sum()
        torch.testing.assert_close(terms[modality], -of_all_values / 20 / N_FEATURES_MEAN)


def test_balance_between_is_the_geometric_mean_of_both_weights():
    outputs = outputs_of(small_module())
    ends = outputs.weight("rna", 0.0) * outputs.weight("rna", 1.0)
    assert outputs.weight("rna", 0.5) == pytest.approx(ends**0.5)
    assert outputs.weight("rna", 0.0) == pytest.approx(9 * 16 / 24 / 8)


@pytest.mark.parametrize("moves_latents", [True, False])
def test_shared_reconstruction_moves_codes_only_where_it_is_asked_to(moves_latents):
    objective = SharedReconstruction(moves_latents=moves_latents)
    module = module_with_codes(objective)
    objective.loss(module(whole_batch(), from_codes=True), module.networks[0]).backward()
    gradient = module.codes.tables["shared"].weight.grad
    assert (gradient is not None and bool(gradient.to_dense().any())) is moves_latents
    assert objective.is_per_cell is moves_latents
    assert all(p.grad.abs().sum() > 0 for p in module.coders["protein"].decoders["shared"].parameters())
    assert module.codes.tables["protein"].weight.grad is None
