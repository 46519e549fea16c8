"""Simulated cells whose shared and private factors are known."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    import anndata
    import mudata

Parents = tuple[int, ...]
Kind = Literal["features", "counts", "peaks"]

MIXED: dict[str, tuple[Parents, ...]] = {
    "x": ((4,), (3,), (2,), (2, 3), (2, 4), (3, 4), (2, 3, 4), (1, 2, 3, 4)),
    "y": ((5,), (2,), (2, 5), (1, 2, 5)),
}
PURE: dict[str, tuple[Parents, ...]] = {"x": ((4,), (3,), (2,), (1,)), "y": ((5,), (2,), (1,))}
THREE: dict[str, tuple[Parents, ...]] = {
    "x": ((4,), (3,), (2,), (1,), (6,)),
    "y": ((5,), (2,), (1,)),
    "w": ((7,), (2,), (1,), (6,)),
}


@dataclass(frozen=True)
class Scenario:
    """Which factors there are, and what depends on them.

    Parameters
    ----------
    blocks
        For each modality, the factors on which each block of features depends.
    is_entangled
        Whether the private factors depend on the shared ones.
    pure_weight
        Multiplies the weights of features that depend on one factor.
    """

    blocks: Mapping[str, tuple[Parents, ...]]
    is_entangled: bool
    pure_weight: float = 1.0


SCENARIOS = {
    "base": Scenario(MIXED, is_entangled=True),
    "fully_independent": Scenario(PURE, is_entangled=False),
    "independent_mixed": Scenario(MIXED, is_entangled=False),
    "entangled_pure": Scenario(PURE, is_entangled=True),
    "base_pure_weights": Scenario(MIXED, is_entangled=True, pure_weight=4.0),
    "three_modalities": Scenario(THREE, is_entangled=False),
}


def simulated(
    scenario: str = "base",
    *,
    n_cells: int = 2048,
    noise: float = 0.0,
    nonlinear: bool = False,
    kinds: Mapping[str, Kind] | None = None,
    n_per_block: int | Mapping[str, int] = 10,
    private_weight: float = 1.0,
    observed: float | Mapping[str, float] = 1.0,
    seed: int = 0,
) -> "mudata.MuData":
    r"""Cells with shared factors Z1, Z2 and private factors Z3, Z4 (of ``x``) and Z5 (of ``y``).

    .. math:: Z_1, Z_3 \sim B(.5), \quad Z_2 = Z_1 + \sqrt{.0045}\, \Gamma(5, 1)

    and, where private factors are entangled with shared ones,

    .. math:: Z_4 = 2 Z_2 + Z_3 + \sqrt{.00125}\, \Gamma(2, 2), \quad Z_5 = Z_2 + \sqrt{.0075}\, \Gamma(3, 2)

    else :math:`Z_4 = Z_3 + \sqrt{.00125}\, \Gamma(2, 2)` and :math:`Z_5 = B(.5) + \sqrt{.0075}\, \Gamma(3, 2)`; gammas
    by shape and scale. Each feature is a sum of its parents with weights from :math:`N(0, 1)`; blocks of features have
    the same parents.

    With the defaults these are the scenarios of :cite:t:`zhang2026`, which are linear and free of noise, so that
    canonical correlation finds the shared factors exactly. The other arguments make what breaks it.

    Parameters
    ----------
    scenario
        ``"base"`` (entangled factors, features with one and with several parents), ``"fully_independent"``
        (independent factors, features with one parent), ``"independent_mixed"``, ``"entangled_pure"``,
        ``"base_pure_weights"`` (as ``"base"``, weights of features with one parent times 4), or
        ``"three_modalities"`` (independent factors, one parent each; a third modality ``w`` with Z7 of its own, and
        Z6 shared by ``x`` and ``w`` alone).
    n_cells
        Number of cells.
    noise
        Standard deviation of normal noise on each feature before it is measured.
    nonlinear
        Pass each feature, standardised, through :math:`\tanh(2 s) + s^2 / 2`.
    kinds
        How each modality is measured: ``"features"`` (as it is; default), ``"counts"`` (negative binomial, library
        sizes that vary threefold), or ``"peaks"`` (0 or 1, detected with a probability that grows with the cell's
        depth).
    n_per_block
        Features per block, one number or one for each modality.
    private_weight
        Multiplies the weights of private factors.
    observed
        Share of the cells measured in each modality; no cell is left without any.
    seed
        Fixes everything.

    Returns
    -------
    MuData with the factors of each cell in ``.obsm["factors"]`` (DataFrame with columns ``Z1``, ``Z2``, ...), in
    each modality too; ``.var["parents"]`` names the factors on which a feature depends.

    Raises
    ------
    ValueError
        If the scenario, a modality or a kind is not known, or a number is out of range.

    References
    ----------
    The simulated benchmark of :cite:t:`zhang2026`.

    Examples
    --------
    >>> mdata = simulated("fully_independent", n_cells=100)
    >>> mdata["x"].shape, mdata["y"].shape
    ((100, 40), (100, 30))
    """
    import mudata

    chosen = _scenario(scenario)
    names = list(chosen.blocks)
    measured_as = dict.fromkeys(names, "features") | _by_modality(kinds or {}, names, "kinds")
    sizes, shares = (
        _spread(value, names, what) for value, what in ((n_per_block, "n_per_block"), (observed, "observed"))
    )
    _check_ranges(n_cells, noise, sizes, shares)
    random = np.random.default_rng(seed)
    factors = _factors(chosen, n_cells, random)
    signals = {
        name: _signal(chosen, name, factors, int(sizes[name]), private_weight, random, noise=noise, nonlinear=nonlinear)
        for name in names
    }
    present = _presence(n_cells, shares, random)
    cells = np.array([f"cell{i}" for i in range(n_cells)])
    modalities = {}
    for name, signal in signals.items():
        rows = present[name]
        values = _measure(signal, measured_as[name], random)[rows]
        parents = [parents for parents in chosen.blocks[name] for _ in range(int(sizes[name]))]
        modalities[name] = _adata(name, values, cells[rows], parents)
        modalities[name].obsm["factors"] = factors.set_axis(cells).iloc[rows]
    mdata = mudata.MuData(modalities)
    mdata.obsm["factors"] = factors.set_axis(cells).loc[mdata.obs_names]
    return mdata


def _scenario(name: str) -> Scenario:
    if name not in SCENARIOS:
        raise ValueError(f"scenario is {name!r}; expected one of {', '.join(map(repr, SCENARIOS))}.")
    return SCENARIOS[name]


def _by_modality(given: Mapping, names: list[str], what: str) -> dict:
    unknown = set(given) - set(names)
    if unknown:
        raise ValueError(f"{what} names {sorted(unknown)}; the modalities are {names}.")
    if what == "kinds" and not set(given.values()) <= {"features", "counts", "peaks"}:
        raise ValueError(f"kinds is {dict(given)}; expected 'features', 'counts' or 'peaks' for each modality.")
    return dict(given)


def _spread(value: float | Mapping[str, float], names: list[str], what: str) -> dict[str, float]:
    if not isinstance(value, Mapping):
        return dict.fromkeys(names, value)
    default = 10 if what == "n_per_block" else 1.0
    return dict.fromkeys(names, default) | _by_modality(value, names, what)


def _check_ranges(n_cells: int, noise: float, sizes: Mapping[str, float], shares: Mapping[str, float]) -> None:
    if n_cells < 2 or noise < 0 or min(sizes.values()) < 1 or not all(0 < share <= 1 for share in shares.values()):
        raise ValueError(
            f"Found n_cells={n_cells}, noise={noise}, n_per_block={dict(sizes)} and observed={dict(shares)}; expected "
            "at least 2 cells, no negative noise, at least 1 feature per block, and shares above 0 and at most 1."
        )


def _factors(scenario: Scenario, n_cells: int, random: np.random.Generator) -> pd.DataFrame:
    z1, z3 = (random.binomial(1, 0.5, n_cells).astype(float) for _ in range(2))
    z2 = z1 + np.sqrt(0.0045) * random.gamma(5, 1, n_cells)
    own4 = np.sqrt(0.00125) * random.gamma(2, 2, n_cells)
    own5 = np.sqrt(0.0075) * random.gamma(3, 2, n_cells)
    if scenario.is_entangled:
        z4, z5 = 2 * z2 + z3 + own4, z2 + own5
    else:
        z4, z5 = z3 + own4, random.binomial(1, 0.5, n_cells) + own5
    factors = {"Z1": z1, "Z2": z2, "Z3": z3, "Z4": z4, "Z5": z5}
    if "w" in scenario.blocks:
        factors |= {"Z6": random.normal(size=n_cells), "Z7": random.normal(size=n_cells)}
    return pd.DataFrame(factors)


def _shared(scenario: Scenario) -> set[int]:
    """Factors on which more than one modality depends."""
    seen = [{parent for parents in blocks for parent in parents} for blocks in scenario.blocks.values()]
    return {factor for factor in set.union(*seen) if sum(factor in each for each in seen) > 1}


def _signal(
    scenario: Scenario,
    modality: str,
    factors: pd.DataFrame,
    n_per_block: int,
    private_weight: float,
    random: np.random.Generator,
    *,
    noise: float,
    nonlinear: bool,
) -> np.ndarray:
    shared, blocks = _shared(scenario), []
    for parents in scenario.blocks[modality]:
        weights = random.normal(size=(len(parents), n_per_block))
        weights *= scenario.pure_weight if len(parents) == 1 else 1.0
        weights *= np.array([1.0 if parent in shared else private_weight for parent in parents])[:, None]
        blocks.append(factors[[f"Z{parent}" for parent in parents]].to_numpy() @ weights)
    signal = np.concatenate(blocks, axis=1)
    if nonlinear:
        standard = (signal - signal.mean(0)) / signal.std(0).clip(min=1e-9)
        signal = np.tanh(2 * standard) + standard**2 / 2
    return signal + noise * random.normal(size=signal.shape)


def _measure(signal: np.ndarray, kind: str, random: np.random.Generator) -> np.ndarray:
    if kind == "features":
        return signal.astype(np.float32)
    centred = (signal - signal.mean(0)) / signal.std()
    depth = np.exp(random.normal(0, 0.4, size=(len(signal), 1)))
    if kind == "peaks":
        rate = 0.3 * depth * np.exp(centred.clip(max=3))
        return (random.random(rate.shape) < -np.expm1(-rate)).astype(np.float32)
    log_share = 0.7 * centred.clip(-4, 4) + random.normal(size=signal.shape[1])
    share = np.exp(log_share)
    share /= share.sum(1, keepdims=True)
    mean = 20 * signal.shape[1] * depth * share
    return random.poisson(mean * random.gamma(5, 1 / 5, mean.shape)).astype(np.float32)


def _presence(n_cells: int, shares: Mapping[str, float], random: np.random.Generator) -> dict[str, np.ndarray]:
    """Cells measured in each modality; one that none would have keeps the modality that is measured most."""
    drawn = {name: random.random(n_cells) < share for name, share in shares.items()}
    most = max(shares, key=lambda name: shares[name])
    drawn[most] |= ~np.logical_or.reduce(list(drawn.values()))
    return {name: np.flatnonzero(chosen) for name, chosen in drawn.items()}


def _adata(name: str, values: np.ndarray, cells: np.ndarray, parents: list[Parents]) -> "anndata.AnnData":
    import anndata

    var = pd.DataFrame(
        {"parents": [",".join(f"Z{parent}" for parent in each) for each in parents]},
        index=[f"{name}{i}" for i in range(values.shape[1])],
    )
    return anndata.AnnData(values, obs=pd.DataFrame(index=cells), var=var)
