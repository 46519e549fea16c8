"""Scores by table, setting, method and seed, as markdown, with what they were measured on."""

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path

import pandas as pd


class Tables:
    """Scores by table, setting, method and seed; each is printed as it arrives.

    Parameters
    ----------
    centre
        What stands before the range of several seeds: ``"mean"`` or ``"median"``.
    """

    def __init__(self, centre: str = "mean") -> None:
        self.records: list[dict] = []
        self.centre = centre

    def add(self, table: str, setting: str, method: str, seed: int, scores: dict[str, float]) -> None:
        self.records.append({"table": table, "setting": setting, "method": method, "seed": seed} | scores)
        shown = ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
        print(f"{table} | {setting} | {method} | seed {seed} | {shown}", flush=True)

    def markdown(self) -> str:
        """Mean or median, and range, over seeds, one table after the other."""
        parts = []
        records = pd.DataFrame(self.records)
        for (table, setting), rows in records.groupby(["table", "setting"], sort=False):
            scores = rows.drop(columns=["table", "setting", "seed"]).dropna(axis=1, how="all")
            scores = scores[sorted(scores.columns, key="seconds".__eq__)]
            grouped = scores.groupby("method", sort=False)
            cells = grouped.agg(lambda values: centre_and_range(values, self.centre)).assign(
                seeds=grouped.size().astype(str)
            )
            header = f"| {' | '.join(['method', *cells.columns])} |"
            lines = [header, "|" + "---|" * (len(cells.columns) + 1)]
            lines += [
                f"| {' | '.join([method, *row])} |" for method, row in zip(cells.index, cells.values, strict=True)
            ]
            parts.append(f"## {table}: {setting}\n\n" + "\n".join(lines))
        return "\n\n".join(parts)


def centre_and_range(values: pd.Series, centre: str) -> str:
    values = values.dropna()
    if values.empty:
        return "-"
    digits = 0 if values.name == "seconds" else 3
    middle, low, high = (f"{value:.{digits}f}" for value in (values.agg(centre), values.min(), values.max()))
    return middle if len(values) == 1 else f"{middle} ({low} to {high})"


def machine() -> str:
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        found = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        cpu = found[0].partition(":")[2].strip() if found else cpu
    packages = ("cellprism", "torch", "scvi-tools", "scikit-learn", "anndata", "mudata", "numpy")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    return f"{cpu}, {os.cpu_count()} cores; {datetime.date.today()}; Python {platform.python_version()}, {versions}."
