"""Two processes on the CPU train as one does."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy
from tests.conftest import REPOSITORY
from tests.contracts.simulated import simulate
from tests.training import two_processes

from cellprism import CrossModalVAE, _keys
from cellprism.training._history import History
from cellprism.training._processes import choose_strategy, gathered

Outcome = dict[str, Any]


def in_two(folder: Path, strategy: str, *names: str, n_threads: int = 1) -> dict[str, list[Outcome]]:
    """Run in two processes; give what each of them has in the end."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.training.two_processes", str(folder), strategy, *names]
    environment = os.environ | {"OMP_NUM_THREADS": str(n_threads), "MKL_NUM_THREADS": str(n_threads)}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return {name: [torch.load(path) for path in sorted(folder.glob(f"{name}.*.pt"))] for name in names}


@pytest.fixture(scope="module")
def steps(tmp_path_factory) -> dict[str, list[Outcome]]:
    return in_two(tmp_path_factory.mktemp("steps"), "auto", "steps", "steps_of_codes")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, list[Outcome]]:
    names = ("unpaired", "apollo", "stops_early", "served", "breaks", "is_interrupted", "few_cells")
    return in_two(tmp_path_factory.mktemp("runs"), "ddp", *names)


@pytest.fixture(scope="module")
def forked(tmp_path_factory) -> dict[str, list[Outcome]]:
    return in_two(tmp_path_factory.mktemp("forked"), "ddp_notebook", "steps", "steps_of_codes", "breaks", n_threads=2)


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor], **tolerance: float) -> None:
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], msg=lambda m, n=name: f"{n}: {m}", **tolerance)


# ---- one step of all cells


@pytest.mark.parametrize("name", ["steps", "steps_of_codes"])
def test_steps_of_two_processes_are_steps_of_one_with_both_their_cells(steps, name):
    alone = two_processes.outcome(getattr(two_processes, name))
    found = steps[name][0]
    assert_same(found["weights"], alone["weights"], rtol=0, atol=1e-5)
    for curve in alone["history"].keys() - _keys.COSTS:
        assert found["history"][curve] == pytest.approx(alone["history"][curve], abs=1e-4), curve


@pytest.mark.parametrize("name", ["steps", "steps_of_codes"])
def test_processes_end_with_the_same_model(steps, name):
    first, second = steps[name]
    assert_same(first["weights"], second["weights"], rtol=0, atol=0)
    assert first["history"] == second["history"]


# ---- whole runs


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unpaired", "apollo", "stops_early", "breaks", "is_interrupted", "few_cells"])
def test_every_process_has_the_whole_model_and_all_curves(runs, name):
    first, second = runs[name]
    assert first["is_trained"]
    assert all(torch.isfinite(value).all() for key, value in first["weights"].items() if "log_range" not in key)
    assert_same(first["weights"], second["weights"], rtol=0, atol=0)
    assert first["history"] == second["history"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unpaired", "apollo"])
def test_losses_are_those_of_one_process_with_the_same_cells_in_a_step(runs, name):
    alone = two_processes.outcome(getattr(two_processes, name))["history"]
    for curve in ("train_loss_epoch", "validation_loss"):
        last = max(alone[curve])
        assert runs[name][0]["history"][curve][last] == pytest.approx(alone[curve][last], rel=0.02)


@pytest.mark.slow
def test_codes_of_training_and_held_out_cells_are_in_every_process_and_others_stay_as_they_were(runs):
    first, second = (process["codes"] for process in runs["apollo"])
    torch.testing.assert_close(first, second, rtol=0, atol=0, equal_nan=True)
    assert torch.isfinite(first[:390]).all()
    assert torch.isnan(first[390:]).all()
    alone = two_processes.outcome(two_processes.apollo)["codes"]
    agreement = np.corrcoef(first[:390].flatten(), alone[:390].flatten())[0, 1]
    assert agreement > 0.95


@pytest.mark.slow
def test_early_stopping_ends_both_processes_in_the_same_epoch(runs):
    epochs = [list(process["history"]["validation_loss"]) for process in runs["stops_early"]]
    assert epochs[0] == epochs[1]
    assert len(epochs[0]) < 60


@pytest.mark.slow
def test_each_cell_is_served_once_an_epoch_by_the_same_process(runs):
    first, second = runs["served"]
    for part, n_cells in (("training", 76), ("held out", 25)):
        for epoch in range(3):
            cells = first["cells"][part][epoch] + second["cells"][part][epoch]
            assert len(cells) == len(set(cells)) == n_cells
            assert set(first["cells"][part][epoch]) == set(first["cells"][part][0])


@pytest.mark.slow
def test_processes_draw_noise_of_their_own(runs):
    assert runs["served"][0]["seed"] != runs["served"][1]["seed"]


@pytest.mark.slow
def test_what_is_not_finite_in_one_process_ends_both_with_its_name(runs):
    for process in runs["breaks"]:
        assert "objective 'breaking' of 'cell' is nan at epoch 1" in process["error"]
        assert list(process["history"]["train_loss_epoch"]) == [0]
        assert process["seconds"] < 30


@pytest.mark.slow
def test_ctrl_c_in_one_process_ends_both_after_the_same_step(runs):
    epochs = [list(process["history"]["train_loss_epoch"]) for process in runs["is_interrupted"]]
    assert epochs == [[0, 1, 2], [0, 1, 2]]


# ---- forked from a notebook


@pytest.mark.slow
@pytest.mark.parametrize("name", ["steps", "steps_of_codes"])
def test_a_notebook_gets_weights_codes_and_curves_back_from_the_processes_it_forks(forked, steps, name):
    (parent,) = forked[name]
    assert_same(parent["weights"], steps[name][0]["weights"], rtol=0, atol=1e-5)
    points = steps[name][0]["history"]
    for curve in points.keys() - _keys.COSTS:
        assert parent["history"][curve] == pytest.approx(points[curve], abs=1e-5), curve


@pytest.mark.slow
def test_a_notebook_gets_the_error_and_the_last_good_weights(forked):
    (parent,) = forked["breaks"]
    assert "objective 'breaking' of 'cell' is nan at epoch 1" in parent["error"]
    assert list(parent["history"]["train_loss_epoch"]) == [0]
    assert all(torch.isfinite(value).all() for key, value in parent["weights"].items() if "log_range" not in key)


# ---- what is chosen


@pytest.mark.parametrize("devices", [1, "1", [0]])
def test_one_device_needs_no_strategy(devices):
    assert choose_strategy(devices, "auto", 1) == "auto"


def test_one_device_on_each_of_two_machines_is_two_processes():
    assert isinstance(choose_strategy(1, "auto", 2), DDPStrategy)


@pytest.mark.parametrize(("is_notebook", "launcher"), [(False, "popen"), (True, "fork")])
def test_a_script_starts_processes_that_run_it_and_a_notebook_forks(monkeypatch, is_notebook, launcher):
    monkeypatch.setattr(sys, "ps1", ">>>", raising=False)
    if not is_notebook:
        monkeypatch.delattr(sys, "ps1")
    assert choose_strategy(2, "auto", 1)._start_method == launcher


def test_a_strategy_of_the_users_is_left_as_it_is():
    mine = DDPStrategy(find_unused_parameters=True)
    assert choose_strategy(2, mine, 1) is mine


def test_a_strategy_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match="strategy is 'fsdp'; expected 'auto', 'ddp', 'ddp_notebook'"):
        CrossModalVAE(simulate()).train(max_epochs=1, devices=2, strategy="fsdp")


def test_one_process_trains_without_a_process_group():
    CrossModalVAE(simulate()).train(max_epochs=1, accelerator="cpu", enable_progress_bar=False)
    assert not torch.distributed.is_initialized()
    assert gathered(Mock(spec=Trainer, strategy=None), 3) == [3]


def test_a_curve_counts_the_cells_of_all_processes_also_where_one_had_none_for_it():
    here, there = History(), History()
    here.add({"loss": torch.tensor(1.0), "pairs": torch.tensor(2.0)}, 3)
    there.add({"loss": torch.tensor(5.0)}, 1)
    parts: list[Any] = []
    there.close_epoch(0, lambda own: parts.append(own) or [own])
    here.close_epoch(0, lambda own: [*parts, own])
    assert (here.last("loss"), here.last("pairs")) == (2.0, 2.0)
