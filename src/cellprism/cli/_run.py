"""The job: train, write, score, draw."""

import argparse
import logging
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import mudata
import numpy as np

from cellprism import _keys
from cellprism.cli._errors import explained
from cellprism.cli._figures import draw_figures
from cellprism.cli._input import Cells, Paths, check_slots, choose_paths, read_cells, read_column
from cellprism.cli._scores import print_scores
from cellprism.models import CrossModalVAE

logger = logging.getLogger("cellprism")


def run(options: argparse.Namespace, started: float) -> None:
    """Do what ``cellprism run`` is asked; ``started`` is when, by :func:`time.monotonic`.

    Raises
    ------
    CommandError
        If the input cannot be used.
    KeyboardInterrupt
        If the user stops it outside training; its message says what is on disk.
    """
    with _only_our_words():
        paths = choose_paths(options)
        cells = read_cells(options)
        if not options.overwrite:
            check_slots(cells)
        model = train(cells, options)
        write(model, cells, paths, overwrite=options.overwrite)
        print(f"Written: {paths.output}, {paths.model}")
        try:
            print_scores(model, cells)
            if paths.figures is not None:
                draw(model, cells, paths)
        except KeyboardInterrupt as stop:
            raise KeyboardInterrupt(f"{paths.output} is complete, scores and figures are not") from stop
    print(f"\n{cost(started)}")


@contextmanager
def _only_our_words() -> Iterator[None]:
    """Show the package's log on stderr, and no warnings of other packages; ours are log messages and errors."""
    handler, level = logging.StreamHandler(sys.stderr), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def train(cells: Cells, options: argparse.Namespace) -> CrossModalVAE:
    """Train on the cells that are not held out."""
    rows = np.flatnonzero(~cells.is_held_out).tolist()
    mdata = unpaired(cells) if options.ignore_pairs else cells.mdata
    with explained("the data cannot be used"):
        CrossModalVAE.setup_mudata(mdata, cells.modalities, batch_key=cells.batch_key, labels_key=cells.labels_key)
        widths = {"n_shared": options.n_shared, "n_private": options.n_private}
        model = CrossModalVAE(mdata, seed=options.seed, **{k: v for k, v in widths.items() if v is not None})
    logger.info("Training on %s of %s cells; held out: %s.", f"{len(rows):,}", f"{cells.mdata.n_obs:,}", cells.rule)
    with explained("training failed"):
        model.train(
            max_epochs=options.epochs,
            train_indices=None if options.ignore_pairs else rows,
            accelerator=options.accelerator,
            enable_progress_bar=sys.stderr.isatty(),
        )
    return model


def unpaired(cells: Cells) -> mudata.MuData:
    """Training cells under a name of their own in each modality, so that no two measurements are known as one cell."""
    parts = {}
    for name in cells.modalities:
        adata = cells.mdata.mod[name]
        part = adata[adata.obs_names.isin(cells.training)].copy()
        for key in (cells.labels_key, cells.batch_key):
            if key is not None:
                part.obs[key] = read_column(cells.mdata, key, cells.modalities).reindex(part.obs_names)
        part.obs_names = part.obs_names + f"-{name}"
        parts[name] = part
    return mudata.MuData(parts)


def write(model: CrossModalVAE, cells: Cells, paths: Paths, *, overwrite: bool) -> None:
    """Save the model, and the cells with everything the model knows about them; no half-written file is left."""
    with explained(f"--save-model {paths.model}"):
        model.save(paths.model, overwrite=True)
    with explained("the results cannot be written"):
        model.write(cells.mdata, overwrite=overwrite)
    cells.mdata.obs[_keys.HELD_OUT] = cells.is_held_out
    unfinished = paths.output.with_name(f".{paths.output.name}.part")
    with explained(f"--output {paths.output}"):
        try:
            cells.mdata.write_h5mu(unfinished)
            unfinished.replace(paths.output)
        finally:
            unfinished.unlink(missing_ok=True)


def draw(model: CrossModalVAE, cells: Cells, paths: Paths) -> None:
    """Save the figures and name them."""
    with explained(f"--figures {paths.figures}"):
        paths.figures.mkdir(exist_ok=True)
    drawn = draw_figures(model, cells, paths.figures)
    print("\nFigures: " + ", ".join(str(path) for path in drawn))


def cost(started: float) -> str:
    """Wall time since ``started``, and the peak memory of the process where the system tells it."""
    seconds = f"Wall time {time.monotonic() - started:.0f} s"
    try:
        import resource
    except ImportError:  # Windows
        return f"{seconds}."
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    megabytes = peak / 1e6 if sys.platform == "darwin" else peak / 1e3  # bytes on macOS, kilobytes elsewhere
    return f"{seconds}, peak memory {megabytes:,.0f} MB."
