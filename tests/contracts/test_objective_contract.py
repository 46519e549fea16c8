"""What every term of the loss must do, also one that a user writes."""

import json
from dataclasses import replace

import pytest
import torch
from tests.contracts.small_module import N_CELLS, outputs_of, small_dataset, small_module, whole_batch
from tests.contracts.toys.compactness import Compactness

from cellprism.data import Batch, DenseRows, Observed
from cellprism.objectives import (
    Anchor,
    Classifier,
    Critic,
    CrossReconstruction,
    JointReconstruction,
    KLDivergence,
    LabelAnchor,
    Objective,
    Reconstruction,
    SharedReconstruction,
)

OBJECTIVES = {
    "reconstruction": Reconstruction(),
    "shared reconstruction": SharedReconstruction(),
    "cross reconstruction": CrossReconstruction(),
    "joint reconstruction": JointReconstruction(),
    "kl": KLDivergence(),
    "anchor contrastive": Anchor(distance="contrastive"),
    "anchor l1": Anchor(distance="l1"),
    "anchor l2": Anchor(distance="l2"),
    "classifier": Classifier(),
    "label anchor": LabelAnchor(),
    "classifier smoothed": Classifier(label_smoothing=0.1),
    "critic": Critic(),
    "critic least squares": Critic(divergence="least_squares"),
    "critic given labels": Critic(condition="labels"),
    "critic given marker": Critic(condition="marker", divergence="least_squares"),
    "toy compactness": Compactness(),
}
NEEDS_PAIRS = (CrossReconstruction, JointReconstruction, Anchor)
NEEDS_TWO_MODALITIES = (*NEEDS_PAIRS, Critic, LabelAnchor)


@pytest.fixture(params=OBJECTIVES)
def objective(request) -> Objective:
    return OBJECTIVES[request.param]


def terms(objective: Objective, batch: Batch | None = None) -> dict[str, torch.Tensor]:
    module = small_module(objective)
    return objective.terms(outputs_of(module, batch), module.networks[0])


def with_values(batch: Batch, modality: str, rows: torch.Tensor, factor: float) -> Batch:
    """Multiply some rows of a modality."""
    values = batch.observed[modality].rows.dense().clone()
    values[rows] *= factor
    changed = Observed(DenseRows(values), batch.observed[modality].cells)
    return replace(batch, observed=batch.observed | {modality: changed})


def test_the_loss_is_a_finite_scalar_in_training_and_outside(objective):
    module = small_module(objective)
    for mode in (True, False):
        loss = objective.loss(outputs_of(module.train(mode)), module.networks[0])
        assert loss.shape == ()
        assert torch.isfinite(loss)
        assert loss != 0


def test_the_loss_is_the_sum_of_its_terms(objective):
    module = small_module(objective)
    outputs = outputs_of(module)
    values = objective.terms(outputs, module.networks[0]).values()
    torch.testing.assert_close(objective.loss(outputs, module.networks[0]), torch.stack(list(values)).sum())


def test_the_gradient_reaches_every_encoder(objective):
    module = small_module(objective)
    objective.loss(outputs_of(module), module.networks[0]).backward()
    for modality, coder in module.coders.items():
        assert float(coder.first.weight.grad.abs().sum()) > 0, modality


def test_the_loss_does_not_depend_on_the_order_of_cells(objective):
    shuffled = torch.randperm(N_CELLS, generator=torch.Generator().manual_seed(1))
    found, expected = terms(objective, small_dataset().take(shuffled)), terms(objective)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6)


def test_a_term_about_a_modality_ignores_cells_that_lack_it(objective):
    batch = whole_batch()
    protein_alone = torch.nonzero(batch.observed["protein"].cells >= 16).flatten()
    before, after = terms(objective, batch), terms(objective, with_values(batch, "protein", protein_alone, 5.0))
    compares_all_rows = isinstance(objective, LabelAnchor)
    about_rna = [name for name in before if "rna" in name and not compares_all_rows]
    assert about_rna or compares_all_rows
    for name in about_rna:
        torch.testing.assert_close(after[name], before[name])


def test_a_term_of_pairs_ignores_cells_seen_in_one_modality():
    for objective in (o for o in OBJECTIVES.values() if isinstance(o, NEEDS_PAIRS)):
        paired = terms(objective, small_dataset().take(torch.arange(8, 16)))
        for name, value in terms(objective).items():
            torch.testing.assert_close(paired[name], value, rtol=1e-5, atol=1e-6)


def test_a_batch_with_one_modality_gives_a_finite_loss_or_no_term(objective):
    alone = terms(objective, small_dataset().take(torch.arange(8)))
    needs_two = isinstance(objective, NEEDS_TWO_MODALITIES)
    assert (not alone) if needs_two else alone
    assert all(torch.isfinite(value) for value in alone.values())


def test_a_single_cell_gives_a_finite_loss(objective):
    for cell in (0, 8, 20):
        for value in terms(objective, small_dataset().take(torch.tensor([cell]))).values():
            assert torch.isfinite(value)


def test_metrics_are_finite_scalars(objective):
    module = small_module(objective)
    for value in objective.metrics(outputs_of(module), module.networks[0]).values():
        assert value.shape == ()
        assert torch.isfinite(value)


def test_settings_survive_plain_values(objective):
    assert Objective.from_plain(json.loads(json.dumps(objective.to_plain()))) == objective


def test_the_weight_rises_over_the_warmup(objective):
    rising = replace(objective, weight=2.0, warmup=0.5)
    assert [rising.scale(p) for p in (0.0, 0.25, 0.5, 1.0)] == [0.0, 1.0, 2.0, 2.0]
    assert replace(objective, weight=2.0, warmup=0.0).scale(0.0) == 2.0
