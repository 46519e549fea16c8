"""What training costs is recorded, and slow loading is told."""

import logging
import time
from pathlib import Path

import pytest
import torch
from tests.contracts.simulated import simulate

from cellprism import CrossModalVAE
from cellprism.data import CellDataset
from cellprism.training import _meter
from cellprism.training._meter import peak_memory

SMALL = {"n_shared": 2, "n_private": 1, "n_hidden": 8}


@pytest.fixture
def slow(monkeypatch) -> None:
    """Make each batch take a third of a second to gather."""
    take = CellDataset.take

    def slowly(dataset: CellDataset, cells: torch.Tensor):
        time.sleep(0.3)
        return take(dataset, cells)

    monkeypatch.setattr(CellDataset, "take", slowly)


def trained(**settings) -> CrossModalVAE:
    model = CrossModalVAE(simulate(), **SMALL)
    model.train(max_epochs=2, batch_size=20, enable_progress_bar=False, accelerator="cpu", **settings)
    return model


def test_an_epoch_records_speed_loading_and_memory():
    history = trained().history
    assert (history["cells_per_second"]["cells_per_second"] > 10).all()
    assert history["loading_share"]["loading_share"].between(0, 0.5).all()
    memory = history["memory_gib"]["memory_gib"]
    assert memory.between(0.05, 100).all()
    assert memory.is_monotonic_increasing


def test_cells_that_are_slow_to_gather_are_told_once(slow, monkeypatch, caplog):
    monkeypatch.setattr(_meter, "LEAST_SECONDS", 0.1)
    with caplog.at_level(logging.WARNING, logger="cellprism"):
        history = trained().history
    assert (history["loading_share"]["loading_share"] > 0.5).all()
    # two batches of 18 cells, which take .6 seconds at least
    assert (history["cells_per_second"]["cells_per_second"] < 36 / 0.6).all()
    assert sum("reading cells, not arithmetic" in message for message in caplog.messages) == 1


def test_loading_that_takes_no_time_to_speak_of_is_not_told(slow, caplog):
    with caplog.at_level(logging.WARNING, logger="cellprism"):
        trained()
    assert not any("reading cells" in message for message in caplog.messages)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel tells the peak on Linux")
def test_peak_memory_is_what_the_kernel_says():
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    assert peak_memory(torch.device("cpu")) == pytest.approx(1024 * int(line.split()[1]), rel=0.02)
