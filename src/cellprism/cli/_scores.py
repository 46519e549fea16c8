"""The score tables: held-out cells first, baselines beside, training cells named as such."""

from itertools import combinations, permutations

import pandas as pd

from cellprism.cli._alignment_table import alignment_table
from cellprism.cli._comparison import MIN_PAIRS, N_NEIGHBOURS, Comparison
from cellprism.cli._input import Cells
from cellprism.cli._scale import Measured
from cellprism.cli._translation_table import translation_table
from cellprism.models import CrossModalVAE


def print_scores(model: CrossModalVAE, cells: Cells) -> None:
    """Print everything that can be scored, and say what cannot."""
    if not cells.is_held_out.any():
        print("\nNo cell was held out, so nothing is scored: scores of the cells trained on mislead.")
        return
    if len(cells.modalities) == 1:
        print(f"\nThere is one modality, {cells.modalities[0]}: nothing to align or to translate, so no scores.")
        return
    scales = [_measured(model, cells, size_normalised) for size_normalised in (True, False)]
    for first, second in combinations(cells.modalities, 2):
        _print_pair([Comparison(cells, values[first], values[second], first, second) for values in scales])


def _measured(model: CrossModalVAE, cells: Cells, size_normalised: bool) -> dict[str, Measured]:
    kinds = model.registration.modalities
    return {
        name: Measured.of(cells.mdata.mod[name], kinds[name], cells.training, size_normalised=size_normalised)
        for name in cells.modalities
    }


def _print_pair(scales: list[Comparison]) -> None:
    """Print the tables of two modalities, given on each scale."""
    comparison = scales[0]
    first, second = comparison.first, comparison.second
    n_pairs = len(comparison.pairs(comparison.cells.held_out))
    print(f"\n{first} and {second}: {comparison.cells.is_held_out.sum():,} cells held out ({comparison.cells.rule})")
    if not comparison.has_held_out_pairs:
        print(
            f"{n_pairs} held-out cells were measured in both {first} and {second}. FOSCTTM, partner recall and "
            f"translation scores need at least {MIN_PAIRS}, and are left out."
        )
    if comparison.has_held_out_pairs or comparison.cells.labels is not None:
        _print_table("Alignment in the shared block (FOSCTTM: 0 is perfect)", alignment_table(comparison))
        print(f"Chance: {_chance(comparison)}.")
    if comparison.has_held_out_pairs:
        for source, target in permutations((first, second)):
            title = f"Translation of {source} to {target} (mean over features of the correlation over cells)"
            _print_table(title, _translation_on_all_scales(scales, source, target))


def _translation_on_all_scales(scales: list[Comparison], source: str, target: str) -> pd.DataFrame:
    """Put the tables of all scales side by side; where nothing is counts, there is one scale."""
    names = [(each.x if target == each.first else each.y).scale.name for each in scales]
    by_name = dict(zip(names, scales, strict=True))
    return pd.concat({name: translation_table(each, source, target) for name, each in by_name.items()}, axis=1)


def _chance(comparison: Comparison) -> str:
    parts = []
    if comparison.has_held_out_pairs:
        n_pairs = len(comparison.pairs(comparison.cells.held_out))
        parts.append(f"FOSCTTM 0.5, partner recall {min(1.0, N_NEIGHBOURS / n_pairs):.3f} ({n_pairs} held-out pairs)")
    if comparison.cells.labels is not None:
        labels = comparison.cells.labels.reindex(comparison.cells.held_out)
        parts.append(f"labels {labels.value_counts(normalize=True).max():.3f} (the most frequent class)")
    return ", ".join(parts)


def _print_table(title: str, table: pd.DataFrame) -> None:
    print(f"\n{title}")
    table = table.set_axis([f"{method}, {cells}" for method, cells in table.index])
    print(table.to_string(float_format=lambda value: f"{value:.3f}", na_rep="-"))
