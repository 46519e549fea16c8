"""Codes are fitted to cells while everything else stands still."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch
from tests.contracts.small_module import N_CELLS, small_dataset, small_module, whole_batch

from cellprism.data import Batch
from cellprism.latents import Posterior
from cellprism.module import LatentModule
from cellprism.objectives import (
    CodePrior,
    CodeRegression,
    CrossReconstruction,
    Decorrelation,
    Objective,
    Reconstruction,
)
from cellprism.training import fit_codes

BLOCKS = {"shared": 3, "rna": 2, "protein": 2}
LIKELIHOOD = (Reconstruction(balance=0.0), CodePrior())


@dataclass(frozen=True, kw_only=True)
class ToTarget(Objective):
    """Squared distance of each cell's shared code from its number."""

    name: ClassVar[str] = "to_target"

    @property
    def is_per_cell(self) -> bool:
        return True

    def terms(self, outputs: Any, network: torch.nn.Module) -> dict[str, torch.Tensor]:
        target = outputs.batch.cells.float()[:, None] / N_CELLS
        latents = [outputs.samples[m, "shared"] - target[o.cells] for m, o in outputs.batch.observed.items()]
        return {"all": torch.cat(latents).square().mean()}


def start_of(n_cells: int, seed: int = 0) -> dict[str, Posterior]:
    random = torch.Generator().manual_seed(seed)
    return {
        name: Posterior(torch.randn(n_cells, width, generator=random), torch.full((n_cells, width), -1.0))
        for name, width in BLOCKS.items()
    }


def loss_at(module: LatentModule, batch: Batch, codes: dict[str, Posterior]) -> float:
    outputs = module.outputs_of(batch, codes)
    terms = zip(module.objectives, module.networks, strict=True)
    return float(sum(o.weight * o.loss(outputs, network) for o, network in terms).detach())


def test_fitting_leaves_weights_and_their_gradients_as_they_were():
    module = small_module(*LIKELIHOOD)
    for number, parameter in enumerate(module.parameters()):
        parameter.grad = torch.full_like(parameter, float(number)) if number % 2 else None
    before = {name: value.clone() for name, value in module.state_dict().items()}
    gradients = [None if p.grad is None else p.grad.clone() for p in module.parameters()]
    fit_codes(module, whole_batch(), start_of(N_CELLS), n_steps=3)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    for parameter, gradient in zip(module.parameters(), gradients, strict=True):
        assert (parameter.grad is None) if gradient is None else torch.equal(parameter.grad, gradient)


def test_fitting_leaves_the_start_as_it_was_and_keeps_the_scales():
    module, start = small_module(*LIKELIHOOD), start_of(N_CELLS)
    before = {name: posterior.mean.clone() for name, posterior in start.items()}
    fitted = fit_codes(module, whole_batch(), start, n_steps=3)
    for name, posterior in start.items():
        assert torch.equal(posterior.mean, before[name])
        assert torch.equal(fitted[name].log_scale, posterior.log_scale)
        assert (fitted[name].mean != posterior.mean).any()
        assert not fitted[name].mean.requires_grad


@pytest.mark.parametrize(
    ("mode", "is_made_inside"),
    [
        (torch.no_grad, False),
        (torch.no_grad, True),
        (torch.inference_mode, False),
        (torch.inference_mode, True),
    ],
)
def test_codes_are_fitted_also_where_gradients_are_turned_off(mode, is_made_inside):
    module, batch = small_module(*LIKELIHOOD), whole_batch()
    expected = fit_codes(module, batch, module.infer(batch), n_steps=3)
    with mode():
        batch = whole_batch() if is_made_inside else batch
        found = fit_codes(module, batch, module.infer(batch), n_steps=3)
        assert not torch.is_grad_enabled()
        for name in BLOCKS:
            torch.testing.assert_close(found[name].mean, expected[name].mean)


def test_a_cells_code_does_not_depend_on_the_cells_beside_it():
    module, start = small_module(Reconstruction(balance=0.0), CodePrior()), start_of(N_CELLS)
    together = fit_codes(module, whole_batch(), start, n_steps=20)
    for cells in ([3], [12], [20], [2, 9, 23]):
        rows = torch.tensor(cells)
        batch = small_dataset().take(rows)
        alone = fit_codes(module, batch, {name: code.take(rows) for name, code in start.items()}, n_steps=20)
        for name in BLOCKS:
            torch.testing.assert_close(alone[name].mean, together[name].mean[rows], rtol=0, atol=2e-3)


def test_a_block_of_which_a_cell_has_no_measurement_stays_where_it_started():
    module, start = small_module(*LIKELIHOOD), start_of(N_CELLS)
    fitted = fit_codes(module, whole_batch(), start, n_steps=5)
    torch.testing.assert_close(fitted["protein"].mean[:8], start["protein"].mean[:8])
    rna_alone = small_dataset().take(torch.arange(8))
    few = {name: code.take(torch.arange(8)) for name, code in start.items()}
    assert torch.equal(fit_codes(module, rna_alone, few, n_steps=5)["protein"].mean, few["protein"].mean)


def test_more_steps_come_closer_to_the_minimum():
    module, start = small_module(ToTarget()), start_of(N_CELLS)
    losses = [loss_at(module, whole_batch(), fit_codes(module, whole_batch(), start, n_steps=n)) for n in (0, 20, 100)]
    assert losses[0] == pytest.approx(loss_at(module, whole_batch(), start))
    assert losses[0] > losses[1] > losses[2]
    assert fit_codes(module, whole_batch(), start, n_steps=300)["shared"].mean[6] == pytest.approx(0.25, abs=0.01)


def test_fitting_lowers_the_negative_evidence_of_real_decoders():
    module, start = small_module(*LIKELIHOOD), start_of(N_CELLS)
    losses = [loss_at(module, whole_batch(), fit_codes(module, whole_batch(), start, n_steps=n)) for n in (0, 10, 100)]
    assert losses[0] > losses[1] > losses[2]


@pytest.mark.parametrize("objectives", [(), (CrossReconstruction(), Decorrelation()), (CodeRegression(),)])
def test_without_a_term_that_judges_each_cell_alone_codes_stay_where_they_started(objectives):
    start = start_of(N_CELLS)
    assert fit_codes(small_module(*objectives), whole_batch(), start, n_steps=5) is start


def test_terms_that_are_not_asked_for_say_nothing():
    module, start = small_module(ToTarget(), *LIKELIHOOD), start_of(N_CELLS)
    found = fit_codes(module, whole_batch(), start, n_steps=5, objectives=LIKELIHOOD)
    expected = fit_codes(small_module(*LIKELIHOOD), whole_batch(), start, n_steps=5)
    for name in BLOCKS:
        torch.testing.assert_close(found[name].mean, expected[name].mean)
    assert fit_codes(module, whole_batch(), start, n_steps=5, objectives=()) is start


def test_terms_count_by_their_weights():
    prior = CodePrior(surcharge=0.0, weight=1e4)
    module, start = small_module(Reconstruction(balance=0.0), prior), start_of(N_CELLS)
    lengths = [
        fit_codes(module, whole_batch(), start, n_steps=120, objectives=chosen)["shared"].mean.norm()
        for chosen in (module.objectives, module.objectives[:1])
    ]
    assert lengths[0] < 0.1 * lengths[1]


def test_a_batch_of_which_nothing_was_measured_keeps_its_codes():
    batch, start = replace(whole_batch(), observed={}), start_of(N_CELLS)
    assert fit_codes(small_module(*LIKELIHOOD), batch, start, n_steps=5) is start


def test_codes_fitted_to_a_batch_are_reproducible():
    module, start = small_module(*LIKELIHOOD), start_of(N_CELLS)
    first, second = (fit_codes(module, whole_batch(), start, n_steps=4)["rna"].mean for _ in range(2))
    assert torch.equal(first, second)
