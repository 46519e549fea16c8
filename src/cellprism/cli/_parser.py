"""Options of the command, each with its explanation and default."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from cellprism import __version__

_DESCRIPTION = """\
Train a CrossModalVAE on the cells of a MuData file and write what it learnt: shared and private latents,
reconstructions and translations into the standard slots, a table of scores with baselines (cells that were
held out of training first), and figures. Without a file it uses the A549 co-assay (RNA and ATAC of 1,874
cells) that ships with the package.
"""

_EPILOG = """\
examples:
  cellprism run
  cellprism run cells.h5mu --labels cell_type --output annotated.h5mu
  cellprism run cells.h5mu --modalities rna protein --batch donor --held-out donor=D4
"""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with status 2."""
        self.exit(2, f"{self.prog}: error: {message}. See {self.prog} --help.\n")


def build_parser() -> argparse.ArgumentParser:
    """Give the parser of the ``cellprism`` command."""
    parser = _Parser(prog="cellprism", description="Shared and private latent spaces of single cells.")
    parser.add_argument("--version", action="version", version=f"cellprism {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="train a model, write its results, score it on held-out cells",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_data(run.add_argument_group("data"))
    _add_model(run.add_argument_group("model"))
    _add_results(run.add_argument_group("results"))
    return parser


def _add_data(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "data", nargs="?", type=Path, metavar="DATA.h5mu",
        help="cells to use (MuData; raw counts where there are counts). Default: the A549 co-assay",
    )  # fmt: skip
    group.add_argument(
        "--modalities", nargs="+", metavar="NAME",
        help="modalities to use; what each one is, is inferred and printed. Default: all",
    )  # fmt: skip
    group.add_argument(
        "--labels", metavar="KEY",
        help="column of .obs with classes, which then guide the alignment and are scored. "
        "Default: none; treatment_time for the A549 co-assay",
    )  # fmt: skip
    group.add_argument(
        "--no-labels", action="store_true", help="use no labels, also for the A549 co-assay. Default: off"
    )
    group.add_argument(
        "--batch", metavar="KEY",
        help="column of .obs with experimental batches, whose effect encoders and decoders account for. Default: none",
    )  # fmt: skip
    group.add_argument(
        "--held-out", metavar="KEY=VALUE|SHARE",
        help="cells to keep out of training and to score: those whose column KEY of .obs has VALUE, or a fixed "
        "random SHARE of all, such as 0.25; 0 trains on all cells and scores nothing. "
        "Default: 0.25; author_split=test for the A549 co-assay",
    )  # fmt: skip
    group.add_argument(
        "--ignore-pairs", action="store_true",
        help="train as if no cell had been measured twice, to see what labels alone align. Default: off",
    )  # fmt: skip


def _add_model(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--epochs", type=_at_least(1), metavar="N",
        help="epochs at most; training stops earlier when its own validation loss no longer improves. "
        "Default: 20, or more for few cells, so that there are about 250 steps (500 for images and mosaics)",
    )  # fmt: skip
    group.add_argument(
        "--seed", type=_at_least(0), default=0, metavar="S", help="seed of all that is random. Default: 0"
    )
    group.add_argument(
        "--n-shared", type=_at_least(1), metavar="N", help="width of the shared block. Default: the model's own"
    )
    group.add_argument(
        "--n-private", type=_at_least(0), metavar="N",
        help="width of each modality's private block; 0 for none. Default: the model's own",
    )  # fmt: skip
    group.add_argument(
        "--accelerator", default="auto", metavar="NAME",
        help="where to train: cpu, gpu, or auto (a GPU where there is one). Default: auto",
    )  # fmt: skip


def _add_results(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--output", type=Path, metavar="OUT.h5mu",
        help="file to write the cells with all results to; replaced if it exists. "
        "Default: <DATA>_cellprism.h5mu, or a549_cellprism.h5mu, in the current folder",
    )  # fmt: skip
    group.add_argument(
        "--save-model", type=Path, metavar="DIR",
        help="folder for the trained model, for CrossModalVAE.load. Default: <OUT>_model beside OUT.h5mu",
    )  # fmt: skip
    group.add_argument(
        "--figures", type=Path, metavar="DIR", help="folder for the figures. Default: <OUT>_figures beside OUT.h5mu"
    )
    group.add_argument("--no-figures", action="store_true", help="draw no figures. Default: off")
    group.add_argument(
        "--overwrite", action="store_true",
        help="replace slots of DATA.h5mu with the standard names that something else wrote. Default: off",
    )  # fmt: skip


def _at_least(minimum: int) -> Callable[[str], int]:
    """Give a reader of whole numbers of at least ``minimum``."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = minimum - 1
        if number < minimum:
            raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number of at least {minimum}")
        return number

    return read
