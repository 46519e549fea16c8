"""Score CrossModalVAE on real cells beside its baselines, over several seeds, and write the tables.

    python docs/benchmarks/cross_modal_vae.py --data FOLDER --output docs/benchmarks/cross_modal_vae.md

The A549 co-assay and the CITE-seq mosaic ship with the package; the other rows need a folder of ``.h5mu`` files.
The model's settings are its defaults. What is held out, and what the scores mean, is in ``protocol.md``.
"""

import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import mudata
import numpy as np
import pandas as pd
from _arguments import parse_arguments
from _scale import SCALE_NAMES, Scale
from _tables import Tables, machine
from _trial import SPLIT_SEED, Setting, Trial

from cellprism import CrossModalVAE, datasets, tl
from cellprism.modalities import Counts

MODEL = "CrossModalVAE"
N_HIDDEN_CELLS = 200


def a549(title: str, **how) -> Setting:
    return Setting(
        f"A549, {title}", "a549", labels="treatment_time", held_out=("author_split", "test"), contrast=(3, 0), **how
    )


SETTINGS = {
    "a549_labels": a549("no pairs, labels", pair_share=0, uses_labels=True),
    "a549_pairs": a549("all pairs, no labels"),
    "a549_pairs_labels": a549("all pairs, labels", uses_labels=True),
    "a549_quarter_pairs": a549("25 % of pairs, labels", pair_share=0.25, uses_labels=True),
    "snareseq_cellmix": Setting("SNARE-seq cell mix, all pairs, no labels", "snareseq_cellmix"),
    "pbmc10x_citeseq": Setting("PBMC CITE-seq, all pairs, no labels", "pbmc10x_citeseq"),
    "snareseq_cortex": Setting("SNARE-seq cortex, all pairs, no labels", "snareseq_cortex"),
}
MOSAIC = "pbmc_citeseq_mosaic"


def score_setting(setting: Setting, folder: Path | None, seeds: list[int], tables: Tables) -> None:
    trial = Trial(setting, folder)
    for seed in seeds:
        model, seconds = trial.train(seed)
        tables.add("Alignment", setting.title, MODEL, seed, trial.model_alignment(model) | {"seconds": seconds})
        for normalised in (False, True):
            title = f"{setting.title} ({SCALE_NAMES[normalised]})"
            tables.add("Translation", title, MODEL, seed, trial.model_translation(model, normalised))
        tables.add("Private blocks (R2)", setting.title, MODEL, seed, trial.private_probe(model, seed))
    for normalised in (False, True):
        for method, scores in trial.baseline_alignments(normalised):
            tables.add("Alignment", setting.title, f"{method} ({SCALE_NAMES[normalised]})", 0, scores)
        for method, scores in trial.baseline_translations(normalised):
            tables.add("Translation", f"{setting.title} ({SCALE_NAMES[normalised]})", method, 0, scores)


def mosaic_scores(seeds: list[int]) -> Iterator[tuple[str, str, int, dict[str, float]]]:
    """Impute the protein of paired cells from which it was taken, beside ridge on the other pairs."""
    mdata = datasets.pbmc_citeseq_mosaic()
    rna, protein = mdata["rna"], mdata["protein"]
    pairs = rna.obs_names[rna.obs_names.isin(protein.obs_names)]
    hidden = pd.Index(np.random.default_rng(SPLIT_SEED).permutation(pairs)[:N_HIDDEN_CELLS])
    known = pairs[~pairs.isin(hidden)]
    train_mdata = mudata.MuData({"rna": rna.copy(), "protein": protein[~protein.obs_names.isin(hidden)].copy()})
    reference = train_mdata["protein"].X
    for normalised in (True, False):
        x, y = Scale(Counts(), normalised, rna.X), Scale(Counts(), normalised, reference)
        truth, known_y = y(protein[hidden].X), y(protein[known].X)
        ridge = tl.baselines.ridge(x(rna[known].X), known_y, x(rna[hidden].X))
        yield SCALE_NAMES[normalised], "ridge", 0, imputation_scores(truth, ridge, known_y)
    for seed in seeds:
        started = time.process_time()
        CrossModalVAE.setup_mudata(train_mdata)
        model = CrossModalVAE(train_mdata, seed=seed)
        model.train(enable_progress_bar=False)
        seconds = time.process_time() - started
        imputed = model.impute("protein")[hidden].X
        for normalised in (True, False):
            y = Scale(Counts(), normalised, reference)
            scores = imputation_scores(y(protein[hidden].X), y(imputed), y(protein[known].X))
            yield SCALE_NAMES[normalised], MODEL, seed, scores | {"seconds": seconds}


def imputation_scores(truth: np.ndarray, predicted: np.ndarray, training: np.ndarray) -> dict[str, float]:
    return {
        "R2": tl.r2_score(truth, predicted),
        "explained variance": tl.explained_variance(truth, predicted),
        "R2 of 30 components": tl.components_r2(truth, predicted, training),
        "correlation": float(np.nanmean(tl.feature_correlation(truth, predicted))),
    }


def document(tables: Tables, seeds: list[int]) -> str:
    return (
        "# CrossModalVAE\n\n"
        "Written by `docs/benchmarks/cross_modal_vae.py`; rules in [the protocol](protocol.md). Held-out cells; mean "
        f"(and range) over seeds {', '.join(map(str, seeds))}; the model's default settings. Baselines have no seed. "
        "FOSCTTM: 0 is perfect, 0.5 is chance; `labels`: accuracy of label transfer, both directions averaged; "
        "`correlation`: mean over features of the correlation over cells; `difference`: correlation over features of "
        "predicted with observed differences between 3 h and 0 h; private blocks: R2 of 30 components of the other "
        "modality, predicted by ridge; `seconds`: CPU seconds of training.\n\n"
        f"{machine()}\n\n{tables.markdown()}\n"
    )


def main() -> None:
    options = parse_arguments(__doc__, [*SETTINGS, MOSAIC])
    warnings.simplefilter("ignore")
    tables = Tables()
    for row in options.rows:
        if row == MOSAIC:
            for scale, method, seed, scores in mosaic_scores(options.seeds):
                title = f"protein hidden for {N_HIDDEN_CELLS} paired cells ({scale})"
                tables.add("Imputation, PBMC CITE-seq mosaic", title, method, seed, scores)
        else:
            score_setting(SETTINGS[row], options.data, options.seeds, tables)
        if options.output is not None:
            options.output.write_text(document(tables, options.seeds))
    print("\n" + document(tables, options.seeds))


if __name__ == "__main__":
    main()
