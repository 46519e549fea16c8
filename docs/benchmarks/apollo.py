"""Score Apollo on simulated cells whose factors are known, and on measured ones, and write the tables.

    python docs/benchmarks/apollo.py --seeds 0 1 2 3 4 --data FOLDER --output docs/benchmarks/apollo.md

A quarter of the cells is held out. Settings are the defaults. Rows of measured cells (citeseq, cortex, jurkat) and of
the cost of a step use the first three of the seeds; only ``cortex`` needs a folder of ``.h5mu`` files.
"""

import warnings
from collections.abc import Callable
from pathlib import Path

from _apollo_real_rows import score_citeseq, score_cortex, score_cost, score_jurkat
from _apollo_rows import (
    score_counts,
    score_extremes,
    score_missing,
    score_noise,
    score_scenarios,
    score_separation,
)
from _arguments import parse_arguments
from _tables import Tables, machine

ROWS: dict[str, Callable[[list[int], Tables], None]] = {
    "scenarios": score_scenarios,
    "noise": score_noise,
    "counts": score_counts,
    "missing": score_missing,
    "separation": score_separation,
    "extremes": score_extremes,
}
MEASURED: dict[str, Callable[[Path | None, list[int], Tables], None]] = {
    "citeseq": score_citeseq,
    "cortex": score_cortex,
    "jurkat": score_jurkat,
    "cost": score_cost,
}


def document(tables: Tables) -> str:
    return (
        "# Apollo\n\n"
        "Written by `docs/benchmarks/apollo.py`. Simulated cells of `datasets.simulated`, 2,048 each; mean (and range) "
        "over so many seeds as the last column says, from 0 on; default settings. A quarter of the cells is held out. "
        "`Silhouettes`: the "
        "paper's score, of the training cells' codes where a method has codes. `Probes`: cross-fitted R2 of a factor "
        "by a linear map of a block as encoders infer it in held-out cells; `Z2 - Z1` is the part of the second shared "
        "factor that the first does not tell. In entangled scenarios private factors depend on shared ones. "
        "`seconds`: CPU seconds of training. `Gap`: between a code of zeros and one fitted to the cell through the "
        "decoders, the share of the gain in log-likelihood of held-out cells that encoders reach, alone and after 50 "
        "steps. Accuracy of cell types and phases: balanced, by logistic regression fitted to the training cells; all "
        "Jurkat cells of the second experiment are in G1, so that phase and experiment are not told apart. `Extremes` "
        "has nothing held out: nats and dimensions of the codes of the training cells. Rows may be run one at a time, "
        "on fewer seeds; this page may then join them, and seconds depend on what else the machine did.\n\n"
        f"{machine()}\n\n{tables.markdown()}\n"
    )


def main() -> None:
    options = parse_arguments(__doc__, [*ROWS, *MEASURED])
    warnings.simplefilter("ignore")
    tables = Tables()
    for row in options.rows:
        if row in ROWS:
            ROWS[row](options.seeds, tables)
        else:
            MEASURED[row](options.data, options.seeds[:3], tables)
        if options.output is not None:
            options.output.write_text(document(tables))
    print("\n" + document(tables))


if __name__ == "__main__":
    main()
