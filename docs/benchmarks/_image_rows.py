"""Rows of the benchmark of images: each trains a model a seed, and scores it beside its baselines."""

import time
from collections.abc import Callable
from dataclasses import replace

import mudata
import numpy as np
import pandas as pd
from _image_data import ImageData, one_stain_each, paired_data
from _tables import Tables
from scipy import sparse
from sklearn.base import ClassifierMixin
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from cellprism import CrossModalVAE, pp, tl
from cellprism.modalities import Counts, Images, Modality
from cellprism.objectives import Critic, Objective

MODEL = "CrossModalVAE"
COLUMNS = {
    "components_r2": "R2 of 30 components",
    "relative_error": "error / mean image",
    "ssim": "similarity",
    "feature_correlation": "features",
}


def trained(
    train: mudata.MuData,
    kinds: dict[str, Modality],
    seed: int,
    *,
    labels_key: str | None = None,
    added: tuple[Objective, ...] = (),
    max_epochs: int | None = None,
) -> tuple[CrossModalVAE, dict[str, float]]:
    """Train with default settings and mixed precision; give the cost as well."""
    CrossModalVAE.setup_mudata(train, kinds, labels_key=labels_key)
    model = CrossModalVAE(train, seed=seed)
    if added:
        model = CrossModalVAE(train, seed=seed, objectives=[*model.objectives, *added])
    started = time.process_time()
    model.train(max_epochs, enable_progress_bar=False, precision="bf16-mixed")
    return model, {"seconds": time.process_time() - started}


# ---- paired images


def baseline_images(data: ImageData, source: str, target: str) -> dict[str, np.ndarray]:
    x, y = (data.images(modality, data.training_of(modality)) for modality in (source, target))
    hidden = data.images(source, data.held_out_of(source))
    return {
        "mean image": tl.baselines.mean_profile(y, len(hidden)),
        "nearest donor": tl.baselines.nearest_donor(x, y, hidden),
        "ridge": tl.baselines.ridge(x, y, hidden),
    }


def image_scores(data: ImageData, source: str, target: str, predictions: dict[str, np.ndarray]) -> pd.DataFrame:
    scores = tl.image_translation_scores(
        data.images(target, data.held_out_of(source)),
        predictions,
        training=data.images(target, data.training_of(target)),
        features=pp.image_features,
    )
    return scores[list(COLUMNS)].rename(columns=COLUMNS)


def score_pairs(title: str, data: ImageData, seeds: list[int], tables: Tables) -> dict[int, CrossModalVAE]:
    """Both directions of two image modalities of the same cells."""
    runs = {seed: trained(data.train, {name: Images() for name in data.names}, seed) for seed in seeds}
    for source, target in (data.names, data.names[::-1]):
        setting = f"{title}, {source} to {target}"
        baselines = image_scores(data, source, target, baseline_images(data, source, target))
        for method, scores in baselines.iterrows():
            tables.add("Translation", setting, str(method), 0, dict(scores))
        for seed, (model, cost) in runs.items():
            predicted = {MODEL: data.translated(model, source, target)}
            scores = image_scores(data, source, target, predicted).loc[MODEL]
            tables.add("Translation", setting, MODEL, seed, dict(scores) | cost)
    return {seed: model for seed, (model, _) in runs.items()}


def score_classes(title: str, data: ImageData, models: dict[int, CrossModalVAE], column: str, tables: Tables) -> None:
    """A classifier of real targets, applied to translated ones; and one of the sources themselves."""
    source, target = data.names
    setting = f"{title}, {column} from images of {target}"

    def score(modality: str, method: str, seed: int, predicted: np.ndarray | None = None) -> None:
        cells = data.training_of(modality), data.held_out_of(modality)
        parts = [part for some in cells for part in (data.images(modality, some), data.labels(modality, some, column))]
        shown = {} if predicted is None else {method: predicted}
        found = tl.classifier_transfer(*parts, shown, classifier=component_classifier())
        scores = found.scores.loc["real" if predicted is None else method]
        named = {"balanced accuracy": scores["balanced_accuracy"], "AUC": scores["auc"]}
        tables.add("Classes", setting, method, seed, named)

    score(source, f"real {source}, classifier of its own", 0)
    score(target, f"real {target}", 0)
    score(target, f"{target} by ridge", 0, baseline_images(data, source, target)["ridge"])
    for seed, model in models.items():
        score(target, f"{target} by {MODEL}", seed, data.translated(model, source, target))


def component_classifier() -> ClassifierMixin:
    return make_pipeline(PCA(30, random_state=0), LogisticRegression(max_iter=5000, class_weight="balanced"))


# ---- mitosis


def score_mitosis(mdata: mudata.MuData, seeds: list[int], tables: Tables) -> None:
    """Mean of the predicted phospho-histone channel; the first seed on four folds, since a quarter holds few cells.

    Neighbours stand in each other's crops, so that strips of the field are held out and not random cells.
    """
    adata = mdata["protein_image"]
    channel = [str(name) for name in adata.uns["channels"]].index("pH3")
    mitotic = pd.Series(adata.obs["mitotic"].astype(str).isin(["True", "1", "mitotic"]).to_numpy(), adata.obs_names)
    folds = [paired_data(mdata, ("nucleus", "protein_image"), fold=fold, is_strip=True) for fold in range(4)]
    methods: dict[str, Callable[[ImageData, int], np.ndarray]] = {
        "measured": lambda data, _: data.images("protein_image", data.held_out_of("protein_image")),
        "ridge": lambda data, _: baseline_images(data, *data.names)["ridge"],
        MODEL: lambda data, seed: data.translated(
            trained(data.train, {name: Images() for name in data.names}, seed)[0], *data.names
        ),
    }
    for method, predict in methods.items():
        for seed in seeds if method == MODEL else [0]:
            started, means = time.process_time(), pd.Series(np.nan, adata.obs_names)
            for data in folds if seed == seeds[0] else folds[:1]:
                means[data.held_out_of("nucleus")] = predict(data, seed)[:, channel].mean((1, 2))
            quarter = folds[0].held_out_of("nucleus")
            scores = {"AUC, held-out strip": roc_auc_score(mitotic[quarter], means[quarter])}
            if means.notna().all():
                scores["AUC, four strips"] = roc_auc_score(mitotic, means)
            cost = {"seconds": time.process_time() - started} if method == MODEL else {}
            tables.add("Mitosis", "HT29, nucleus to protein_image", method, seed, scores | cost)


# ---- unpaired


def score_unpaired(data: ImageData, seeds: list[int], tables: Tables) -> None:
    """RNA and nuclei of different cells, a label in both: a conditional critic beside the default objectives."""
    kinds = {"rna": Counts(), "nucleus": Images()}
    for seed in seeds:
        model, cost = trained(data.train, kinds, seed, labels_key="phase3", added=(Critic(condition="labels"),))
        scores = {}
        for source, target in (data.names, data.names[::-1]):
            scores[f"labels, {source} to {target}"] = transferred_labels(data, model, source, target)
            scores[f"forest, {source} to {target}"] = forest_auc(data, model, source, target)
        tables.add("Unpaired", "cell cycle, RNA and nuclei", MODEL, seed, scores | cost)
    for modality in data.names:
        cells = data.training_of(modality), data.held_out_of(modality)
        known, asked = ((measured(data, modality, some), data.labels(modality, some, "phase3")) for some in cells)
        found = tl.classifier_transfer(*known, *asked, {}, features=features_of(modality)).scores
        scores = {f"forest, {modality}": found.loc["real", "auc"]}
        tables.add("Unpaired", "cell cycle, RNA and nuclei", f"forest on real {modality}", 0, scores)


def score_published(data: ImageData, seeds: list[int], tables: Tables) -> None:
    """The published model and schedule on 64 x 64 pixels, at an eighth of its widths so that two cores train it."""
    data = replace(data, mdata=data.mdata.copy())
    pp.resize_images(data.mdata["nucleus"], 64, key_added="image")
    for seed in seeds:
        model = CrossModalVAE.as_published(
            data.train, "nucleus", labels_key="phase3", n_hidden=128, widths=(16, 32, 64, 128, 128), seed=seed
        )
        started, scores = time.process_time(), {}
        model.train(pretrain="nucleus", enable_progress_bar=False, precision="bf16-mixed")
        cost = {"seconds": time.process_time() - started}
        for source, target in (data.names, data.names[::-1]):
            scores[f"labels, {source} to {target}"] = transferred_labels(data, model, source, target)
            scores[f"forest, {source} to {target}"] = forest_auc(data, model, source, target)
        tables.add("Unpaired", "cell cycle, RNA and nuclei", "as published, an eighth as wide", seed, scores | cost)


def transferred_labels(data: ImageData, model: CrossModalVAE, source: str, target: str) -> float:
    """Labels of held-out cells of a source by training cells of the target."""
    known, asked = data.training_of(target), data.held_out_of(source)
    reference, query = (
        model.get_latent_representation(data.alone(modality, cells), modality=modality)
        for modality, cells in ((target, known), (source, asked))
    )
    labels = data.labels(target, known, "phase3"), data.labels(source, asked, "phase3")
    return tl.label_transfer(reference, labels[0], query, labels[1], k=10)


def measured(data: ImageData, modality: str, cells: pd.Index) -> np.ndarray:
    """What a forest sees of real cells."""
    return data.images(modality, cells) if modality == "nucleus" else log_expression(data.mdata[modality][cells].X)


def log_expression(counts: np.ndarray | sparse.csr_matrix) -> np.ndarray:
    return tl.log_normalize(counts.toarray() if sparse.issparse(counts) else counts, target_sum=1e4)


def features_of(modality: str) -> Callable | None:
    return pp.image_features if modality == "nucleus" else None


def forest_auc(data: ImageData, model: CrossModalVAE, source: str, target: str) -> float:
    """AUC of a forest of real targets, applied to held-out cells of the source after translation."""
    known, own, asked = data.training_of(target), data.held_out_of(target), data.held_out_of(source)
    adata = model.translate(source, target, data.alone(source, asked))[asked]
    found = tl.classifier_transfer(
        measured(data, target, known),
        data.labels(target, known, "phase3"),
        measured(data, target, own),
        data.labels(target, own, "phase3"),
        {MODEL: adata.obsm["image"] if target == "nucleus" else log_expression(adata.X)},
        translated_labels=data.labels(source, asked, "phase3"),
        features=features_of(target),
    )
    return float(found.scores.loc[MODEL, "auc"])


# ---- one stain a cell


def score_identities(mdata: mudata.MuData, seeds: list[int], tables: Tables) -> None:
    """Each cell was stained for one protein; every stain of held-out cells is predicted from the nucleus."""
    names = ("nucleus", "stain")
    data = paired_data(one_stain_each(mdata, "protein_image"), names)
    whole = paired_data(mdata, ("nucleus", "protein_image"))
    stains = [str(name) for name in mdata["protein_image"].uns["channels"]]
    asked = data.held_out_of("nucleus")
    truth = dict(zip(stains, whole.images("protein_image", asked).swapaxes(0, 1)[:, :, None], strict=True))
    for stain in stains:
        stained = data.training_of("stain")[data.labels("stain", data.training_of("stain"), "stain") == stain]
        x, y = data.images("nucleus", stained), data.images("stain", stained)
        hidden = data.images("nucleus", asked)
        predictions = {
            "mean image": tl.baselines.mean_profile(y, len(hidden)),
            "nearest donor": tl.baselines.nearest_donor(x, y, hidden),
            "ridge": tl.baselines.ridge(x, y, hidden),
        }
        for method, predicted in predictions.items():
            tables.add("One stain a cell", f"fly, {stain}", method, 0, stain_scores(truth[stain], predicted, y))
    for seed in seeds:
        model, cost = trained(data.train, {"nucleus": Images(), "stain": Images(identity="stain")}, seed)
        for stain in stains:
            predicted = model.translate("nucleus", "stain", data.alone("nucleus", asked), identity=stain)[asked]
            training = data.images("stain", data.training_of("stain"))
            scores = stain_scores(truth[stain], predicted.obsm["image"], training)
            tables.add("One stain a cell", f"fly, {stain}", MODEL, seed, scores | cost)


def stain_scores(truth: np.ndarray, predicted: np.ndarray, training: np.ndarray) -> dict[str, float]:
    scores = tl.image_translation_scores(truth, {"": predicted}, training=training).iloc[0]
    return {"squared error x 1000": 1000 * scores["mse"], "similarity": scores["ssim"]}


# ---- blur


def score_sharpness(data: ImageData, seeds: list[int], tables: Tables) -> None:
    """Likelihoods and the structural term, on one data set, for the first seed and a third of the epochs."""
    source, target = data.names
    choices = {
        "Gaussian": Images(),
        "Bernoulli": Images(likelihood="bernoulli"),
        "Gaussian and structural similarity, .1": Images(structural_similarity=0.1),
        "Gaussian and structural similarity, 1": Images(structural_similarity=1.0),
    }
    for name, kind in choices.items():
        for seed in seeds[:1]:
            model, cost = trained(data.train, dict.fromkeys(data.names, kind), seed, max_epochs=12)
            predicted = data.translated(model, source, target)
            scores = image_scores(data, source, target, {MODEL: predicted}).loc[MODEL]
            truth = data.images(target, data.held_out_of(source))
            sharpness = {"detail kept": detail(predicted) / detail(truth)}
            tables.add(
                "Blur",
                f"Jurkat, {source} to {target}, 12 epochs, one seed",
                name,
                seed,
                dict(scores) | sharpness | cost,
            )


def detail(images: np.ndarray) -> float:
    """Mean absolute difference of neighbouring pixels."""
    return float(np.abs(np.diff(images, axis=2)).mean() + np.abs(np.diff(images, axis=3)).mean())
