"""One data set in one setting: split, transformed, trained on, and scored beside baselines."""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mudata
import numpy as np
import pandas as pd
from _scale import Scale
from scipy import sparse

from cellprism import CrossModalVAE, datasets, tl
from cellprism.modalities import infer_modality

SPLIT_SEED = 0
N_CANONICAL = (5, 10, 20)
N_PERMUTATIONS = 20


@dataclass(frozen=True)
class Setting:
    """One row of the benchmark.

    Parameters
    ----------
    title
        Name in the tables.
    data
        Name of the data set.
    pair_share
        Share of the training cells whose two measurements are known to be one cell; the others are given to each
        modality under a name of their own.
    labels
        Column of classes by which label transfer is scored.
    uses_labels
        Whether the model and the baselines may use the labels of the training cells.
    held_out
        ``(column, value)`` of the held-out cells; a fixed random quarter by default.
    contrast
        Two classes whose difference is predicted.
    """

    title: str
    data: str
    pair_share: float = 1.0
    labels: str = "cell_type"
    uses_labels: bool = False
    held_out: tuple[str, str] | None = None
    contrast: tuple | None = None


def read(name: str, folder: Path | None) -> mudata.MuData:
    if name == "a549":
        return datasets.a549()
    if folder is None or not (folder / f"{name}.h5mu").is_file():
        sys.exit(f"{name}.h5mu was not found in {folder or 'a folder'}: give one with --data, or choose other --rows.")
    return mudata.read_h5mu(folder / f"{name}.h5mu")


def subset(mdata: mudata.MuData, cells: pd.Index) -> mudata.MuData:
    return mudata.MuData({name: adata[cells].copy() for name, adata in mdata.mod.items()})


def split(mdata: mudata.MuData, setting: Setting) -> tuple[pd.Index, pd.Index]:
    """Names of training and held-out cells."""
    if setting.held_out is not None:
        column, value = setting.held_out
        is_held_out = (next(iter(mdata.mod.values())).obs[column].astype(str) == value).to_numpy()
    else:
        is_held_out = np.zeros(mdata.n_obs, dtype=bool)
        is_held_out[np.random.default_rng(SPLIT_SEED).permutation(mdata.n_obs)[: mdata.n_obs // 4]] = True
    names = next(iter(mdata.mod.values())).obs_names
    return names[~is_held_out], names[is_held_out]


def hide_pairs(mdata: mudata.MuData, paired: pd.Index) -> mudata.MuData:
    """Give every cell that is not in ``paired`` a name of its own in each modality: two cells that share nothing."""
    parts = {}
    for name, adata in mdata.mod.items():
        parts[name] = adata.copy()
        parts[name].obs_names = [cell if cell in paired else f"{cell}-{name}" for cell in adata.obs_names]
    return mudata.MuData(parts)


class Trial:
    """The cells of a setting, split and transformed once for all seeds."""

    def __init__(self, setting: Setting, folder: Path | None) -> None:
        self.setting = setting
        self.mdata = read(setting.data, folder)
        self.x, self.y = self.mdata.mod
        self.training, self.held_out = split(self.mdata, setting)
        n_paired = round(setting.pair_share * len(self.training))
        order = np.random.default_rng(SPLIT_SEED).permutation(len(self.training))
        self.paired = self.training[np.sort(order[:n_paired])]
        self.labels = self.mdata[self.x].obs[setting.labels].astype(object)
        self.train_mdata = hide_pairs(subset(self.mdata, self.training), self.paired)
        self.kinds = {name: infer_modality(adata, name)[0] for name, adata in self.mdata.mod.items()}
        self.scales: dict[tuple[str, bool], Scale] = {}

    def _model(self, seed: int) -> CrossModalVAE:
        labels_key = self.setting.labels if self.setting.uses_labels else None
        CrossModalVAE.setup_mudata(self.train_mdata, labels_key=labels_key)
        return CrossModalVAE(self.train_mdata, seed=seed)

    def raw(self, modality: str, cells: pd.Index) -> np.ndarray | sparse.csr_matrix:
        return self.mdata[modality][cells].X

    def scale(self, modality: str, size_normalised: bool = True) -> Scale:
        key = (modality, size_normalised)
        if key not in self.scales:
            self.scales[key] = Scale(self.kinds[modality], size_normalised, self.raw(modality, self.training))
        return self.scales[key]

    def directions(self) -> Iterator[tuple[str, str]]:
        yield from ((self.x, self.y), (self.y, self.x))

    def train(self, seed: int) -> tuple[CrossModalVAE, float]:
        started = time.process_time()
        model = self._model(seed)
        model.train(enable_progress_bar=False)
        return model, time.process_time() - started

    # ---- alignment

    def score_embedding(self, training: dict[str, np.ndarray], held_out: dict[str, np.ndarray]) -> dict[str, float]:
        x, y = held_out[self.x], held_out[self.y]
        voters, scored = self.labels[self.training].to_numpy(), self.labels[self.held_out].to_numpy()
        transfers = [
            tl.label_transfer(training[source], voters, held_out[target], scored, k=10)
            for source, target in self.directions()
        ]
        return {
            "FOSCTTM": tl.foscttm(x, y),
            "recall at 10": tl.partner_recall(x, y, k=10),
            "labels": float(np.mean(transfers)),
        }

    def model_alignment(self, model: CrossModalVAE) -> dict[str, float]:
        latents = [
            {m: model.get_latent_representation(subset(self.mdata, cells), modality=m) for m in (self.x, self.y)}
            for cells in (self.training, self.held_out)
        ]
        return self.score_embedding(*latents)

    def baseline_alignments(self, normalised: bool) -> Iterator[tuple[str, dict[str, float]]]:
        """Give CCA where there are pairs, and class probabilities where there are labels."""
        names = (self.x, self.y)
        training, held_out, paired = (
            {m: self.scale(m, normalised)(self.raw(m, cells)) for m in names}
            for cells in (self.training, self.held_out, self.paired)
        )
        if len(self.paired):
            fits = [self._cca(paired, training, held_out, n_canonical) for n_canonical in N_CANONICAL]
            best = {"FOSCTTM": min, "recall at 10": max, "labels": max}
            shown = " or ".join(map(str, N_CANONICAL))
            yield f"CCA, best of {shown} in each column", {k: choose(f[k] for f in fits) for k, choose in best.items()}
        if self.setting.uses_labels:
            labels = self.labels[self.training].to_numpy()
            fits = {m: tl.baselines.class_probabilities(training[m], labels, held_out[m]) for m in names}
            scores = self.score_embedding(
                {m: fit.training for m, fit in fits.items()}, {m: fit.held_out for m, fit in fits.items()}
            )
            yield "class probabilities", scores

    def _cca(self, paired: dict, training: dict, held_out: dict, n_canonical: int) -> dict[str, float]:
        embeddings = []
        for cells in (training, held_out):
            fitted = tl.baselines.cca_embedding(
                paired[self.x], paired[self.y], cells[self.x], cells[self.y], n_components=30, n_canonical=n_canonical
            )
            embeddings.append({self.x: fitted.source_held_out, self.y: fitted.target_held_out})
        return self.score_embedding(*embeddings)

    # ---- translation

    def score_translation(self, source: str, target: str, normalised: bool, predicted: np.ndarray) -> dict[str, float]:
        truth = self.scale(target, normalised)(self.raw(target, self.held_out))
        contrast = self.setting.contrast
        groups = None if contrast is None else self.labels[self.held_out].to_numpy()
        scores = tl.translation_scores(truth, {"": predicted}, groups=groups, contrast=contrast).iloc[0]
        named = {f"correlation, {source} to {target}": scores["feature_correlation"]}
        if contrast is not None:
            named[f"difference, {source} to {target}"] = scores["difference_correlation"]
        return named

    def model_translation(self, model: CrossModalVAE, normalised: bool) -> dict[str, float]:
        scores, cells = {}, subset(self.mdata, self.held_out)
        for source, target in self.directions():
            predicted = model.translate(source, target, cells)[self.held_out].X
            scaled = self.scale(target, normalised)(predicted)
            scores |= self.score_translation(source, target, normalised, scaled)
        return scores

    def baseline_translations(self, normalised: bool) -> Iterator[tuple[str, dict[str, float]]]:
        """Give ridge and nearest donors where there are pairs, class means where there are labels."""
        labels = self.labels[self.training].to_numpy()
        by_method: dict[str, dict[str, float]] = {}
        for source, target in self.directions():
            x, y = self.scale(source, normalised), self.scale(target, normalised)
            hidden = x(self.raw(source, self.held_out))
            predictions = {}
            if len(self.paired):
                pairs = x(self.raw(source, self.paired)), y(self.raw(target, self.paired))
                predictions["ridge"] = tl.baselines.ridge(*pairs, hidden)
                predictions["nearest donor"] = tl.baselines.nearest_donor(*pairs, hidden)
            if self.setting.uses_labels:
                all_x, all_y = x(self.raw(source, self.training)), y(self.raw(target, self.training))
                predictions["label x class means"] = tl.baselines.label_class_means(
                    all_x, labels, all_y, labels, hidden
                )
            for method, predicted in predictions.items():
                scores = self.score_translation(source, target, normalised, predicted)
                by_method.setdefault(method, {}).update(scores)
        yield from by_method.items()

    # ---- private blocks

    def private_probe(self, model: CrossModalVAE, seed: int) -> dict[str, float]:
        """R2 of the other modality's 30 components from a private block, and from permuted ones."""
        scores, random = {}, np.random.default_rng(seed)
        for source, target in self.directions():
            block = [
                model.get_latent_representation(subset(self.mdata, cells), block=source, modality=source)
                for cells in (self.training, self.held_out)
            ]
            y = [self._components(target, cells) for cells in (self.training, self.held_out)]

            def probe(rows: np.ndarray, block=block, y=y) -> float:
                return tl.r2_score(y[1], tl.baselines.ridge(block[0][rows], y[0], block[1]))

            n_cells = len(self.training)
            permuted = [probe(random.permutation(n_cells)) for _ in range(N_PERMUTATIONS)]
            scores[f"private {source} to {target}"] = probe(np.arange(n_cells))
            scores[f"permuted {source} to {target}, largest of {N_PERMUTATIONS}"] = max(permuted)
        return scores

    def _components(self, modality: str, cells: pd.Index) -> np.ndarray:
        from sklearn.decomposition import PCA

        scale = self.scale(modality)
        training = scale(self.raw(modality, self.training))
        fitted = PCA(min(30, *training.shape), random_state=0).fit(training)
        return fitted.transform(scale(self.raw(modality, cells)))
