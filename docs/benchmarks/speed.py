"""Measure how fast cellprism trains and predicts, beside MULTIVI, and write the tables.

    python docs/benchmarks/speed.py --data FOLDER --output docs/benchmarks/speed.md

Each measurement is a process of its own with one thread (`_speed_worker.py`); tools take turns, three times over, so
that a busy machine slows them alike. `quality` needs a folder with `snareseq_cortex.h5mu` and takes an hour, nearly all
of it MULTIVI's; `scale` needs 20 GB of disk.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from _arguments import parse_arguments
from _tables import Tables, machine
from _two_processes import measure

HERE = Path(__file__).parent
INTRODUCTION = """# Speed

Written by `docs/benchmarks/speed.py`.
"""
SAME = (
    "MULTIVI",
    "plain PyTorch",
    "cellprism",
    "cellprism, bf16-mixed",
    "cellprism, compiled",
    "cellprism, all objectives",
)
SIZES = (
    (1000, "resident"),
    (10_000, "resident"),
    (100_000, "resident"),
    (100_000, "streamed"),
    (1_000_000, "streamed"),
)
"""Number of cells, and whether their rows are kept: a million takes 4.5 GB, more than a budget of 4 GiB."""


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
        found = {tool: measured("epoch", tool) for tool in SAME}
        for tool, figures in found.items():
            ratios = {
                "times faster than MULTIVI": found["MULTIVI"]["CPU seconds"] / figures["CPU seconds"],
                "memory over MULTIVI's": figures["peak GiB"] / found["MULTIVI"]["peak GiB"],
            }
            tables.add("Epoch", "5,000 cells, 4,000 genes, 20,000 peaks", tool, seed, figures | ratios)


def score_inference(folder: Path | None, seeds: list[int], tables: Tables) -> None:
    for seed in seeds:
        found = {tool: measured("inference", tool) for tool in ("MULTIVI", "cellprism")}
        for tool, figures in found.items():
            ratios = {
                f"times faster, {what}": found["MULTIVI"][f"CPU seconds, {what}"] / figures[f"CPU seconds, {what}"]
                for what in ("latents", "accessibility")
            }
            tables.add("Predictions", "the same cells", tool, seed, figures | ratios)


def score_quality(folder: Path | None, seeds: list[int], tables: Tables) -> None:
    if folder is None:
        print("quality: left out, since it needs --data.")
        return
    for tool in ("cellprism", "MULTIVI"):
        figures = measured("quality", tool, str(folder))
        tables.add("Seconds to the same reconstruction", "cortex, held-out cells", tool, seeds[0], figures)


def score_scale(folder: Path | None, seeds: list[int], tables: Tables) -> None:
    for n_cells, keep in SIZES:
        title = f"{n_cells:,} cells, {'in memory' if keep == 'resident' else 'streamed'}"
        tables.add("Cells", "2,000 genes, 8,000 peaks", title, seeds[0], measured("scale", str(n_cells), keep))


def score_features(folder: Path | None, seeds: list[int], tables: Tables) -> None:
    for seed in seeds:
        for n_peaks in (2000, 20_000, 200_000):
            tables.add("Features", "1,000 open", f"{n_peaks:,} peaks", seed, measured("features", str(n_peaks)))


def score_images(folder: Path | None, seeds: list[int], tables: Tables) -> None:
    for seed in seeds:
        tables.add("Images", "64 x 64 pixels, 2 channels", "cellprism", seed, measured("images"))


def score_profile(folder: Path | None, seeds: list[int], tables: Tables) -> None:
    """Profile a step and, where BEFORE names the `src` folder of an older version, one of that."""
    before = os.environ.get("BEFORE")
    for name, precision, source in (("before", "32-true", before), *((p, p, None) for p in ("32-true", "bf16-mixed"))):
        if name == "before" and before is None:
            continue
        command = [sys.executable, "-W", "ignore", str(HERE / "_profile_step.py"), precision]
        environment = os.environ | ({} if source is None else {"PYTHONPATH": source})
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        figures = json.loads(run.stdout[run.stdout.index("{") :])
        tables.add("Milliseconds of a step", "by kind of work, under a profiler", name, seeds[0], figures)


def score_processes(folder: Path | None, seeds: list[int], tables: Tables) -> None:
    for kind in ("CrossModalVAE", "Apollo"):
        found = measure(kind)
        figures = {
            f"{unit} seconds an epoch, {n}": found[f"{unit} seconds an epoch"][n]
            for unit in ("wall", "CPU")
            for n in (1, 2)
        }
        figures |= {"efficiency": found["efficiency"], "by CPU seconds": found["efficiency by CPU seconds"]}
        tables.add("Two processes", "256 cells a step, one thread each", kind, seeds[0], figures)


ROWS: dict[str, Callable[[Path | None, list[int], Tables], None]] = {
    "epoch": score_epoch,
    "inference": score_inference,
    "profile": score_profile,
    "quality": score_quality,
    "scale": score_scale,
    "features": score_features,
    "images": score_images,
    "processes": score_processes,
}


def document(tables: Tables) -> str:
    return f"{INTRODUCTION}\n{machine()}\n\n{tables.markdown()}\n"


def main() -> None:
    arguments = parse_arguments(__doc__ or "", list(ROWS))
    tables = Tables("median")
    for row in arguments.rows:
        ROWS[row](arguments.data, arguments.seeds, tables)
        if arguments.output is not None:
            arguments.output.write_text(document(tables))


if __name__ == "__main__":
    main()
