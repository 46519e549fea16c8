from typing import Any

import numpy as np
import pytest
import torch
from tests.contracts.small_module import outputs_of, small_module

from cellprism.objectives import Critic, KLDivergence, Reconstruction
from cellprism.training import Optimisation, Stage, TrainingPlan
from cellprism.training._history import History
from cellprism.training._plan import term_names


def test_an_epoch_is_the_mean_over_cells():
    history = History()
    history.add({"loss": torch.tensor(1.0)}, 3)
    history.add({"loss": torch.tensor(5.0)}, 1)
    history.close_epoch(0)
    history.add({"loss": torch.tensor(7.0)}, 2)
    history.close_epoch(1)
    frame = history.frames(first_epoch=10)["loss"]
    assert frame["loss"].tolist() == [2.0, 7.0]
    assert frame.index.tolist() == [10, 11]
    assert history.last("loss") == 7.0
    assert np.isnan(history.last("other"))


def test_objectives_of_one_kind_are_numbered():
    assert term_names((Reconstruction(), KLDivergence(), Reconstruction(weight=2.0))) == [
        "reconstruction",
        "kl",
        "reconstruction_2",
    ]


def plan_for(*objectives, **settings: Any) -> TrainingPlan:
    stage = Stage("train", objectives, ("rna", "protein"))
    return TrainingPlan(small_module(*objectives), stage, optimisation=Optimisation(), max_epochs=10, **settings)


def test_the_loss_is_the_weighted_sum_and_warmup_is_a_share_of_the_epochs():
    reconstruction, divergence = Reconstruction(), KLDivergence(weight=0.5, warmup=0.4)
    plan = plan_for(reconstruction, divergence).train()
    outputs = outputs_of(plan.module.eval())
    parts = [float(o.loss(outputs, torch.nn.Module()).detach()) for o in (reconstruction, divergence)]
    for progress, weight in ((0.0, 0.0), (0.1, 0.125), (0.4, 0.5), (1.0, 0.5)):
        total, _ = plan.evaluate(outputs, progress)
        assert float(total.detach()) == pytest.approx(parts[0] + weight * parts[1], rel=1e-5)


def test_critics_say_nothing_about_held_out_progress():
    plan = plan_for(Reconstruction(), Critic(weight=100.0))
    outputs = outputs_of(plan.module.eval())
    held_out, report = plan.eval().evaluate(outputs, 1.0)
    alone = Reconstruction().loss(outputs, torch.nn.Module())
    torch.testing.assert_close(held_out, alone)
    assert "critic_rna" in report
    assert plan.train().evaluate(outputs, 1.0)[0] > held_out


def test_a_critic_is_moved_by_its_own_optimiser_only():
    plan = plan_for(Reconstruction(), Critic())
    of_model, of_critic = ({id(p) for g in o.param_groups for p in g["params"]} for o in plan.configure_optimizers())
    critic = {id(p) for p in plan.module.networks[1].parameters()}
    assert of_critic == critic
    assert not of_model & critic
    assert of_model | critic == {id(p) for p in plan.module.parameters() if p.requires_grad}
