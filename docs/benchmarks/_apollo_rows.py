"""Rows of the benchmark of Apollo on simulated cells: codes and held-out cells, by probes that know the factors."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import mudata
import numpy as np
import pandas as pd
from _tables import Tables
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.linear_model import RidgeCV
from sklearn.metrics import silhouette_score
from sklearn.model_selection import KFold, cross_val_predict

from cellprism import Apollo, CrossModalVAE, datasets, tl
from cellprism.latents import LatentLayout
from cellprism.modalities import Features
from cellprism.objectives import CodePrior, Decorrelation, Independence, Objective

Blocks = dict[str, np.ndarray]
SCENARIOS = ("base", "fully_independent", "independent_mixed", "entangled_pure", "base_pure_weights")
PRIVATE = {"x": ("Z3", "Z4"), "y": ("Z5",)}
HELD_OUT = 4
"""One cell in so many is held out."""
N_SEEDS = 3
"""Of those asked for, for the slowest method and where a row trains six models a seed."""


@dataclass(frozen=True)
class Simulation:
    """Simulated cells, a part of them held out.

    Parameters
    ----------
    mdata
        All cells.
    """

    mdata: mudata.MuData

    @property
    def factors(self) -> pd.DataFrame:
        """True factors."""
        return self.mdata.obsm["factors"]

    @property
    def is_held_out(self) -> np.ndarray:
        """Whether each cell is held out."""
        return np.arange(self.mdata.n_obs) % HELD_OUT == 0

    @property
    def training(self) -> np.ndarray:
        """Rows of the training cells."""
        return np.flatnonzero(~self.is_held_out)

    def table(self, modality: str) -> np.ndarray:
        """Measurements on the scale of linear methods, all cells, which have them all."""
        adata = self.mdata[modality][self.mdata.obs_names]
        values = np.asarray(adata.X)
        is_count = values.min() >= 0 and (values == np.rint(values)).all() and values.max() > 1
        values = tl.log_normalize(values) if is_count else values
        spread = values[self.training].std(0)
        return (values - values[self.training].mean(0)) / np.where(spread > 1e-6, spread, 1.0)


def apollo_blocks(data: Simulation, seed: int, change: Callable[[Apollo], Apollo] | None = None) -> Blocks:
    model = Apollo(data.mdata, seed=seed)
    model = model if change is None else change(model)
    model.train(train_indices=data.training, enable_progress_bar=False)
    return inferred(model)


def published_blocks(data: Simulation, seed: int) -> Blocks:
    kinds = {
        name: Features(likelihood="squared_error") if np.asarray(adata.X).min() < 0 else None
        for name, adata in data.mdata.mod.items()
    }
    if all(kinds.values()):
        Apollo.setup_mudata(data.mdata, kinds)
    model = Apollo.as_published(data.mdata, n_shared=2, n_private=2, n_hidden=20, seed=seed)
    model.train(
        1000,
        learning_rate=1e-4,
        code_learning_rate=1e-3,
        batch_size=256,
        fine_tune=False,
        early_stopping=False,
        train_indices=data.training,
        enable_progress_bar=False,
    )
    return inferred(model)


def vae_blocks(data: Simulation, seed: int) -> Blocks:
    model = CrossModalVAE(data.mdata, seed=seed)
    model.train(train_indices=data.training, enable_progress_bar=False)
    return inferred(model)


def inferred(model: Apollo | CrossModalVAE) -> Blocks:
    """Latents of all cells from encoders, and codes of the training cells beside them where there are any."""
    blocks = {name: model.get_latent_representation(block=name) for name in model.layout.names}
    if isinstance(model, Apollo):
        blocks |= {f"codes of {name}": model.get_codes(block=name) for name in model.layout.names}
    return blocks


def cca_blocks(data: Simulation, seed: int) -> Blocks:
    """Canonical variates of both modalities; what they leave of each is its private part."""
    x, y = (data.table(name) for name in ("x", "y"))
    fitted = tl.baselines.cca_embedding(x[data.training], y[data.training], x, y, n_canonical=2)
    shared = np.concatenate([fitted.source_held_out, fitted.target_held_out], axis=1)
    return {"shared": shared} | {name: rest(data, own, shared) for name, own in (("x", x), ("y", y))}


def rest(data: Simulation, values: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """Two components of what shared latents do not explain."""
    known = shared[data.training]
    slopes = np.linalg.lstsq(known - known.mean(0), values[data.training], rcond=None)[0]
    left = values - (shared - known.mean(0)) @ slopes
    return PCA(2, random_state=0).fit(left[data.training]).transform(left)


def components_blocks(data: Simulation, seed: int) -> Blocks:
    """Components of each modality as its private part, and of both together as the shared one."""
    tables = {name: data.table(name) for name in ("x", "y")}
    together = np.concatenate(list(tables.values()), axis=1)
    fit = lambda values: PCA(2, random_state=0).fit(values[data.training]).transform(values)  # noqa: E731
    return {"shared": fit(together)} | {name: fit(values) for name, values in tables.items()}


def factor_blocks(data: Simulation, seed: int) -> Blocks:
    """Factor analysis of both together, factors sorted by whether both modalities load on them."""
    tables = {name: data.table(name) for name in ("x", "y")}
    together = np.concatenate(list(tables.values()), axis=1)
    fitted = FactorAnalysis(5, rotation="varimax", random_state=seed).fit(together[data.training])
    scores, n_x = fitted.transform(together), tables["x"].shape[1]
    share = np.square(fitted.components_[:, :n_x]).mean(1), np.square(fitted.components_[:, n_x:]).mean(1)
    balance = share[0] / (share[0] + share[1])
    parts = {"shared": abs(balance - 0.5) < 0.4, "x": balance >= 0.9, "y": balance <= 0.1}
    return {name: scores[:, chosen] if chosen.any() else np.zeros((len(scores), 1)) for name, chosen in parts.items()}


METHODS: dict[str, Callable[[Simulation, int], Blocks]] = {
    "Apollo": apollo_blocks,
    "Apollo, settings of the paper": published_blocks,
    "CrossModalVAE": vae_blocks,
    "CCA": cca_blocks,
    "factor analysis": factor_blocks,
    "components": components_blocks,
}


def methods_of(seed: int, seeds: list[int]) -> dict[str, Callable[[Simulation, int], Blocks]]:
    """All methods; the slowest for the first seeds alone."""
    slowest = "Apollo, settings of the paper"
    return {name: fit for name, fit in METHODS.items() if name != slowest or seed in seeds[:N_SEEDS]}


def explained(latents: np.ndarray, factor: np.ndarray) -> float:
    """Cross-fitted R2 of a factor by a linear map of latents, over cells that have them."""
    known = np.isfinite(latents).all(1)
    folds = KFold(5, shuffle=True, random_state=0)
    predicted = cross_val_predict(RidgeCV(np.logspace(-3, 3, 7)), latents[known], factor[known], cv=folds)
    return float(1 - np.square(factor[known] - predicted).sum() / np.square(factor[known] - factor[known].mean()).sum())


def probe_scores(data: Simulation, blocks: Blocks) -> dict[str, float]:
    """What each block tells of each factor in held-out cells."""
    held_out, factors = data.is_held_out, data.factors
    own = {name: blocks[name][held_out] for name in ("shared", "x", "y")}
    target = {name: factors[name].to_numpy()[held_out] for name in factors}
    second = target["Z2"] - target["Z1"]
    return {
        "shared: Z1": explained(own["shared"], target["Z1"]),
        "shared: Z2": explained(own["shared"], target["Z2"]),
        "shared: Z2 - Z1": explained(own["shared"], second),
        "shared: Z3": explained(own["shared"], target["Z3"]),
        "x: Z1": explained(own["x"], target["Z1"]),
        "y: Z1": explained(own["y"], target["Z1"]),
        "x: Z3": explained(own["x"], target["Z3"]),
        "y: Z5": explained(own["y"], target["Z5"]),
    }


def silhouettes(data: Simulation, blocks: Blocks) -> dict[str, float]:
    """The paper's score, of codes where a method has them, else of latents, over the training cells."""
    rows = data.training
    found = {}
    for block, factor in (("shared", "Z1"), ("shared", "Z3"), ("x", "Z3"), ("x", "Z1")):
        latents = blocks.get(f"codes of {block}", blocks[block])[rows]
        known = np.isfinite(latents).all(1)
        classes = data.factors[factor].to_numpy()[rows][known] > 0.5
        found[f"{block} / {factor}"] = float(silhouette_score(latents[known], classes))
    return found


def score_scenarios(seeds: list[int], tables: Tables) -> None:
    """The paper's five scenarios: silhouettes, and probes of held-out cells."""
    for scenario in SCENARIOS:
        for seed in seeds:
            data = Simulation(datasets.simulated(scenario, seed=seed))
            for method, fit in methods_of(seed, seeds).items():
                started = time.process_time()
                blocks = fit(data, seed)
                cost = {"seconds": time.process_time() - started}
                tables.add("Silhouettes", scenario, method, seed, silhouettes(data, blocks) | cost)
                tables.add("Probes", scenario, method, seed, probe_scores(data, blocks))
            oracle = {"shared": data.factors[["Z1", "Z2"]], "x": data.factors[["Z3", "Z4"]], "y": data.factors[["Z5"]]}
            blocks = {name: values.to_numpy() for name, values in oracle.items()}
            tables.add("Silhouettes", scenario, "true factors", seed, silhouettes(data, blocks))


def score_noise(seeds: list[int], tables: Tables) -> None:
    """Noise of standard deviation .5 on every feature of the base scenario."""
    for seed in seeds:
        data = Simulation(datasets.simulated("base", noise=0.5, seed=seed))
        for method, fit in methods_of(seed, seeds).items():
            tables.add("Probes", "base, noise .5", method, seed, probe_scores(data, fit(data, seed)))


def score_counts(seeds: list[int], tables: Tables) -> None:
    """Counts and peaks of non-linear features: shared factors in the shared block, less those in private ones."""
    kinds = {"x": "counts", "y": "peaks"}
    for seed in seeds:
        mdata = datasets.simulated("base", nonlinear=True, kinds=kinds, seed=seed)
        data = Simulation(mdata)
        for method, fit in methods_of(seed, seeds).items():
            tables.add("Counts and peaks", "base, non-linear", method, seed, margin(data, fit(data, seed)))


def margin(data: Simulation, blocks: Blocks) -> dict[str, float]:
    held_out = data.is_held_out
    told = {
        block: np.mean([explained(blocks[block][held_out], data.factors[f].to_numpy()[held_out]) for f in ("Z1", "Z2")])
        for block in ("shared", "x", "y")
    }
    worst = max(told["x"], told["y"])
    return {"shared": told["shared"], "worst private": worst, "difference": told["shared"] - worst}


def score_missing(seeds: list[int], tables: Tables) -> None:
    """Three cells in ten lack one modality."""
    for seed in seeds:
        for share, title in ((1.0, "complete"), (0.7, "30 % lack x")):
            observed = {"x": share, "y": 1.0}
            data = Simulation(datasets.simulated("independent_mixed", noise=0.5, observed=observed, seed=seed))
            tables.add("Missing modalities", "independent + mixed, noise .5", title, seed, missing_scores(data, seed))


def missing_scores(data: Simulation, seed: int) -> dict[str, float]:
    blocks = apollo_blocks(data, seed)
    held_out = data.is_held_out
    return {f"shared: {f}": explained(blocks["shared"][held_out], data.factors[f].to_numpy()[held_out])
            for f in ("Z1", "Z2")}  # fmt: skip


def with_terms(surcharge: float, *added: Objective) -> Callable[[Apollo], Apollo]:
    """Replace the price of sharing, and add terms."""

    def change(model: Apollo) -> Apollo:
        kept = [CodePrior(surcharge=surcharge) if isinstance(o, CodePrior) else o for o in model.objectives]
        return Apollo(model.mdata, seed=model.seed_, objectives=[*kept, *added])

    return change


def score_separation(seeds: list[int], tables: Tables) -> None:
    """What keeps blocks apart, on the scenario of independent factors with noise."""
    choices = {
        "same price for all blocks": with_terms(0.0),
        "shared block a quarter dearer (default)": with_terms(0.25),
        "shared block half dearer": with_terms(0.5),
        "same price, decorrelation": with_terms(0.0, Decorrelation(weight=0.1)),
        "same price, kernel independence": with_terms(0.0, Independence(weight=0.1)),
        "a quarter dearer, decorrelation": with_terms(0.25, Decorrelation(weight=0.1)),
    }
    for seed in seeds[:N_SEEDS]:
        data = Simulation(datasets.simulated("fully_independent", noise=0.5, seed=seed))
        for title, change in choices.items():
            blocks = apollo_blocks(data, seed, change)
            tables.add("Separation", "fully independent, noise .5", title, seed, probe_scores(data, blocks))


def score_extremes(seeds: list[int], tables: Tables) -> None:
    """Nothing shared, and everything shared: nats and dimensions that each block uses."""
    for seed in seeds:
        whole = datasets.simulated("fully_independent", noise=0.5, seed=seed)
        other = datasets.simulated("fully_independent", noise=0.5, seed=seed + 1000)
        apart = mudata.MuData({"x": whole["x"].copy(), "y": other["y"].copy()})
        kept = {name: adata.var["parents"].isin(["Z1", "Z2"]).to_numpy() for name, adata in whole.mod.items()}
        shared = mudata.MuData({name: adata[:, kept[name]].copy() for name, adata in whole.mod.items()})
        for title, mdata in (("nothing shared", apart), ("everything shared", shared)):
            model = Apollo(mdata, seed=seed)
            model.train(enable_progress_bar=False)
            found = model.block_information()
            scores = {f"{block}: {what}": float(found.loc[block, what])
                      for block in LatentLayout.split(["x", "y"], n_shared=1, n_private=1).names
                      for what in ("nats", "used")}  # fmt: skip
            tables.add("Extremes", "noise .5", title, seed, scores)
