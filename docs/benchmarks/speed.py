"""Measure how fast cellprism trains and predicts, beside MULTIVI, and write the tables.

    python docs/benchmarks/speed.py --data FOLDER --output docs/benchmarks/speed.md

Each measurement is a process of its own with one thread (`_speed_worker.py`); tools take turns, three times over, so
that a busy machine slows them alike. `quality` needs a folder with `snareseq_cortex.h5mu` and takes half an hour,
nearly all of it MULTIVI's; `scale` needs 20 GB of disk.
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

Written by `docs/benchmarks/speed.py`: medians (and ranges) over so many repeats as the last column says, each
measurement in a process of its own, with one thread and no GPU. Tools take turns. `CPU seconds` are those of the
process; `peak GiB` is the most memory above what the data and all packages take.

`Epoch` and `Predictions`: 5,000 simulated cells, 8 % of 4,000 genes and 5 % of 20,000 peaks detected, hidden layers of
141, batches of 128. MULTIVI has a latent space of 32 and one layer, as cellprism has; `plain PyTorch` is the loop that
anyone would write (`_plain_loop.py`), dense, on the same networks. `cellprism` decodes each modality once in a step, as
MULTIVI does; `all objectives` are the defaults for paired cells, which decode each four times. `freed memory kept` runs
with the three variables of glibc's allocator named in `speed.py`. `accessibility` is that of all cells, by MULTIVI from
both modalities, by cellprism translated from RNA.

`Seconds to the same reconstruction`: default training of both on three quarters of the cells. Others are reconstructed,
by MULTIVI from both modalities together, by cellprism each from its own, and scored by the same likelihoods: Poisson
for RNA, Bernoulli for peaks; lower is better.

`Milliseconds of a step`: the same cells, by kind of work, self time under PyTorch's profiler, which slows small
operations most; the last column but one is the step without it. `before`: version of commit c450c20.

`Cells`: an epoch over a file opened by `read_backed`; rows of a million cells take 4.5 GB in memory, and are streamed.
`Features`: one modality, 1,000 open peaks a cell whatever their number. `Images`: convolutions are the self time of
`mkldnn_convolution` and its gradient in a profiled epoch. `Two processes`: one core each, gloo; efficiency is the wall
time of one process over twice that of two.

**What follows from the profile.** The gradient of the first layer is summed after a sort by feature, and its centre
is one more sparse row instead of a dense product; hidden values leave the rows instead of becoming zeros; places of
values are 32-bit and are expanded once a step; counts and detections take one dense pass each way, with analytical
gradients corrected at the non-zeros; the baseline of a decoder is part of its bias; hiding draws uniform numbers,
which cost less than Bernoulli ones; gradients are scaled only in steps that need it; predictions are not stacked
before they are averaged.

**What is left** in float32 is products with the two last layers at most of the rate of a large product, an optimiser
that moves every weight and its moments, a pass over 128 x 20,000 outputs for each elementary function, and some
thousand small operations. bfloat16 shortens the products alone: weights are cast, results widened, and all else is in
float32. The defaults for paired cells decode each modality four times in a step; what they gain is in [their
tables](cross_modal_vae.md). Of an epoch of images what is not convolutions is mostly normalisation, activation and the
interleaving of enlarged maps, which all read and write every map.

**What did not pay.** `torch.compile`: a longer start for the same step, so that it is off by default. Products of CSR
matrices and a dense first layer: see the table; loops compiled by numba take about as long as ours, on the CPU alone,
and would be a second way beside that of GPUs. Without gain, tried by hand: flushing denormal numbers, gradients in
place (which forbid a second backward), oneDNN's own bfloat16 products of float32 matrices in the place of autocast,
images with channels last (faster convolutions, slower normalisation). Keeping freed memory saves some page faults, but
it is a setting of the whole process, and is left to whoever starts it.

"""
SAME = (
    "MULTIVI",
    "plain PyTorch",
    "cellprism",
    "cellprism, bf16-mixed",
    "cellprism, all objectives",
)
KEEP_FREED = {
    "MALLOC_MMAP_THRESHOLD_": "1000000000",
    "MALLOC_TRIM_THRESHOLD_": "10000000000",
    "MALLOC_TOP_PAD_": "268435456",
}
"""Settings of glibc's allocator that keep freed memory in the process instead of asking for it anew in each step."""
SIZES = (
    (1000, "resident"),
    (10_000, "resident"),
    (100_000, "resident"),
    (100_000, "streamed"),
    (1_000_000, "streamed"),
)
"""Number of cells, and whether their rows are kept: a million takes 4.5 GB, more than a budget of 4 GiB."""


def measured(*arguments: str, settings: dict[str, str] | None = None) -> dict[str, float]:
    """Run one measurement in a process of its own, with these environment variables."""
    command = [sys.executable, "-W", "ignore", str(HERE / "_speed_worker.py"), *arguments]
    run = subprocess.run(command, capture_output=True, text=True, env=os.environ | (settings or {}))
    lines = [line for line in run.stdout.splitlines() if line.startswith("figures ")]
    if not lines:
        sys.exit(f"{' '.join(arguments)} failed:\n{run.stderr[-2000:]}")
    return json.loads(lines[-1].removeprefix("figures "))


def score_epoch(folder: Path | None, seeds: list[int], tables: Tables) -> None:
    for seed in seeds:
        once = ("cellprism, compiled",) if seed == seeds[0] else ()
        found = {tool: measured("epoch", tool) for tool in (*SAME, *once)}
        for tool in ("MULTIVI", "cellprism"):
            found[f"{tool}, freed memory kept"] = measured("epoch", tool, settings=KEEP_FREED)
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


def score_layers(folder: Path | None, seeds: list[int], tables: Tables) -> None:
    for seed in seeds:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        command = [sys.executable, "-W", "ignore", str(HERE / "_parts.py")]
        found = json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
        for method, value in found["layers"].items():
            tables.add("Sparse first layer", "128 x 20,000 at 5 %", method, seed, {"ms, forward and backward": value})
        for name, figures in found["likelihoods"].items():
            columns = {f"ms, {way}": value for way, value in figures.items()}
            tables.add("Log-likelihoods", "128 x 4,000 at 8 %, forward and backward", name, seed, columns)
        for what, value in found["rates"].items():
            tables.add("Rates of this machine", "one thread", what, seed, {"value": value})


def score_processes(folder: Path | None, seeds: list[int], tables: Tables) -> None:
    for seed in seeds:
        for kind in ("CrossModalVAE", "Apollo"):
            found = measure(kind, n_rounds=1)
            figures = {
                f"{unit} seconds an epoch, {n}": found[f"{unit} seconds an epoch"][n]
                for unit in ("wall", "CPU")
                for n in (1, 2)
            }
            figures |= {"efficiency": found["efficiency"], "by CPU seconds": found["efficiency by CPU seconds"]}
            tables.add("Two processes", "256 cells a step, one thread each", kind, seed, figures)


ROWS: dict[str, Callable[[Path | None, list[int], Tables], None]] = {
    "epoch": score_epoch,
    "inference": score_inference,
    "profile": score_profile,
    "layers": score_layers,
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
