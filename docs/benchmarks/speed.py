"""Measure how fast cellprism trains and predicts, beside MULTIVI, and write the tables.

    python docs/benchmarks/speed.py --data FOLDER --output docs/benchmarks/speed.md

Each measurement is a process of its own with one thread (`_speed_worker.py`); tools take turns, three times over, so
that a busy machine slows them alike. `quality` needs a folder with `snareseq_cortex.h5mu` and takes an hour, nearly all
of it MULTIVI's; `scale` needs 20 GB of disk.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from _arguments import parse_arguments
from _tables import Tables, machine

HERE = Path(__file__).parent
SAME = ("MULTIVI", "plain PyTorch", "cellprism", "cellprism, bf16-mixed", "cellprism, compiled")
SIZES = (1000, 10_000, 100_000, 1_000_000)


def measured(*arguments: str) -> dict[str, float]:
    """Run one measurement in a process of its own."""
    command = [sys.executable, "-W", "ignore", str(HERE / "_speed_worker.py"), *arguments]
    run = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in run.stdout.splitlines() if line.startswith("figures ")]
    if not lines:
        sys.exit(f"{' '.join(arguments)} failed:\n{run.stderr[-2000:]}")
    return json.loads(lines[-1].removeprefix("figures "))


def score_epoch(folder: Path | None, seeds: list[int], tables: Tables) -> None:
    for seed in seeds:
        for tool in (*SAME, "cellprism, all objectives"):
            tables.add("Epoch", "5,000 cells, 4,000 genes, 20,000 peaks", tool, seed, measured("epoch", tool))


def score_inference(folder: Path | None, seeds: list[int], tables: Tables) -> None:
    for seed in seeds:
        for tool in ("MULTIVI", "cellprism"):
            tables.add("Predictions", "the same cells", tool, seed, measured("inference", tool))


def score_quality(folder: Path | None, seeds: list[int], tables: Tables) -> None:
    if folder is None:
        print("quality: left out, since it needs --data.")
        return
    for tool in ("cellprism", "MULTIVI"):
        figures = measured("quality", tool, str(folder))
        tables.add("Seconds to the same reconstruction", "cortex, held-out cells", tool, seeds[0], figures)


def score_scale(folder: Path | None, seeds: list[int], tables: Tables) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        for n_cells in SIZES:
            figures = measured("scale", str(n_cells), scratch)
            tables.add("Cells", "streamed from a file", f"{n_cells:,} cells", seeds[0], figures)


def score_features(folder: Path | None, seeds: list[int], tables: Tables) -> None:
    for seed in seeds:
        for n_peaks in (2000, 20_000, 200_000):
            tables.add("Features", "1,000 open", f"{n_peaks:,} peaks", seed, measured("features", str(n_peaks)))


def score_images(folder: Path | None, seeds: list[int], tables: Tables) -> None:
    for seed in seeds:
        tables.add("Images", "64 x 64 pixels, 2 channels", "cellprism", seed, measured("images"))


ROWS: dict[str, Callable[[Path | None, list[int], Tables], None]] = {
    "epoch": score_epoch,
    "inference": score_inference,
    "features": score_features,
    "images": score_images,
    "scale": score_scale,
    "quality": score_quality,
}
