"""What every script that writes tables can be asked on the command line."""

import argparse
from pathlib import Path


def parse_arguments(description: str, rows: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, help="folder of .h5mu files. Default: none, for the shipped data sets only"
    )
    parser.add_argument(
        "--rows", nargs="+", choices=rows, default=rows, metavar="ROW", help=f"any of {', '.join(rows)}"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="SEED", help="default: 0 1 2")
    parser.add_argument("--output", type=Path, help="markdown file to write. Default: print only")
    return parser.parse_args()
