"""What lies beneath the verbs: which cells are asked about, what is decoded of them, and into what it is put."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData, read_h5ad
from mudata import MuData

from cellprism import _keys
from cellprism.data import CellDataset, closest, empty_batch
from cellprism.models._query import FILLS, Decoding, Donors, Query, inferred
from cellprism.models._registration import as_mudata
from cellprism.models._to_disk import Allocate, Values, check_new, in_memory, on_disk

if TYPE_CHECKING:
    from cellprism.models._base import LatentModel

DEFAULT_BATCH_SIZE = 128


class Prediction:
    """Queries, latents and decoded values in minibatches."""

    def _check_modality(self: "LatentModel", name: str) -> str:
        known = list(self.registration.modalities)
        if name not in known:
            raise KeyError(f"The model has no modality {name!r}. {closest(name, known)}")
        return name

    def _query(
        self: "LatentModel",
        data: MuData | AnnData | None,
        indices: Sequence[int] | np.ndarray | None,
        batch_size: int,
        *,
        needs_training: bool = True,
    ) -> Query:
        """Check and read the cells that are asked about."""
        if needs_training:
            self._require_training()
        mdata, dataset = self._read(data)
        cells = np.arange(len(dataset)) if indices is None else _rows(np.asarray(indices), len(dataset))
        return Query(mdata, dataset, cells, batch_size)

    def _require_training(self: "LatentModel") -> None:
        if not self.is_trained_:
            raise RuntimeError(f"This {type(self).__name__} is not trained. Call train() first.")

    def _read(self: "LatentModel", data: MuData | AnnData | None) -> tuple[MuData, CellDataset]:
        if data is None or data is self._given:
            return self._adata, self._require_dataset()
        mdata = as_mudata(data, list(self.registration.modalities))
        manager = self.registration.manager(mdata, type(self).__name__, self.registry_)
        return mdata, manager.read()

    def _keep(self, query: Query, wanted: np.ndarray | None, what: str) -> Query:
        cells = query.cells[:0] if wanted is None else query.cells[wanted[query.cells]]
        if not len(cells):
            raise ValueError(f"None of the {len(query.cells)} cells {what}.")
        return Query(query.mdata, query.dataset, cells, query.batch_size)

    @torch.no_grad()
    def _latents(
        self: "LatentModel", query: Query, block: str, sources: tuple[str, ...], refine_steps: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Posterior mean and standard deviation; NaN where no source tells."""
        width = self.layout[block].width
        mean = np.full((len(query.cells), width), np.nan, dtype=np.float32)
        std = mean.copy()
        for where, batch in query.batches(self.module.device, sources):
            if not batch.observed:
                continue
            posterior = inferred(self.module, batch, refine_steps)[block]
            known = np.zeros(batch.n_cells, dtype=bool)
            for observed in batch.observed.values():
                known[observed.cells.cpu().numpy()] = True
            mean[where][known] = posterior.mean.cpu().numpy()[known]
            std[where][known] = posterior.log_scale.exp().cpu().numpy()[known]
        return mean, std

    def _decoding(
        self: "LatentModel",
        target: str,
        sources: tuple[str, ...],
        fill: str,
        *,
        transform_batch: str | Sequence[str] | None = None,
        library_size: float | None = None,
        identity: str | None = None,
        n_samples: int = 0,
        refine_steps: int = 0,
    ) -> Decoding:
        if fill not in (FILLS if target not in sources else ("own",)):
            raise ValueError(f"fill is {fill!r}; expected one of {', '.join(map(repr, FILLS))}.")
        if library_size is not None and not library_size > 0:
            raise ValueError(f"library_size is {library_size}; expected a positive number.")
        if fill == "shared" and not any(objective.trains_shared_decoders for objective in self.objectives):
            fill = "zeros"
        return Decoding(
            target,
            sources,
            fill if self.layout.private_of(target) or fill == "own" else "shared",
            self._batch_codes(transform_batch),
            tuple(self.measured_batches_[target]),
            library_size,
            None if identity is None else self.registration.modalities[target].identity_code(identity),
            n_samples,
            self._donors(target) if fill == "donor" and self.layout.private_of(target) else None,
            _steps(refine_steps),
        )

    def _batch_codes(self: "LatentModel", asked: str | Sequence[str] | None) -> tuple[int, ...] | None:
        if asked is None:
            return None
        known = self.batch_categories
        names = [asked] if isinstance(asked, str) or not isinstance(asked, Sequence) else list(asked)
        if not names:
            raise ValueError("transform_batch is empty; expected a batch, several, or None for each cell's own.")
        for name in names:
            if str(name) not in known:
                raise ValueError(f"transform_batch names {name!r}, which is not a batch. {closest(name, known)}")
        return tuple(known.index(str(name)) for name in names)

    def _donors(self: "LatentModel", target: str) -> Donors:
        dataset = self._require_dataset()
        cells = self.train_indices_[dataset.is_observed(target)[self.train_indices_]]
        query = Query(self._adata, dataset, cells, DEFAULT_BATCH_SIZE)
        shared = [self._latents(query, name, (target,))[0] for name in self.layout.shared_of(target)]
        private = [self._latents(query, name, (target,))[0] for name in self.layout.private_of(target)]
        device = self.module.device
        return Donors(
            cells,
            torch.from_numpy(np.concatenate(shared, axis=1)).to(device),
            torch.from_numpy(np.concatenate(private, axis=1)).to(device),
        )

    def _predict(
        self: "LatentModel",
        query: Query,
        decoding: Decoding,
        about: dict[str, Any],
        to_disk: str | Path | None = None,
    ) -> AnnData:
        """Decode minibatch by minibatch, into host memory or a file, and give the result as an AnnData."""
        state = self._state(f"modality {decoding.target}")
        modality = self.registration.modalities[decoding.target]
        obs = self._obs(query, about.get("source", about["target"]))
        fill = {} if decoding.fill == "own" else {"fill": decoding.fill}
        about = about | fill | {"model": type(self).__name__, "n_samples": decoding.n_samples}
        if to_disk is None:
            mean, std = self._decode(query, decoding)
            adata = modality.new_anndata(mean, obs, state)
            if std is not None:
                modality.write_own(adata, _keys.STANDARD_DEVIATION, std, state)
            adata.uns[_keys.UNS] = about
            return adata
        path = check_new(to_disk)
        empty = modality.new_anndata(np.empty((0, *state["shape"]), dtype=np.float32), obs.iloc[:0], state)
        empty.uns[_keys.UNS] = about
        with on_disk(path, empty, obs) as allocate:
            self._decode(query, decoding, allocate)
        return read_h5ad(path, backed="r")

    @torch.no_grad()
    def _decode(
        self: "LatentModel", query: Query, decoding: Decoding, allocate: Allocate = in_memory
    ) -> tuple[Values, Values | None]:
        is_own_data = query.dataset is self._dataset
        modality = self.registration.modalities[decoding.target]
        slots = (modality.predicted_slot, modality.own_slot(_keys.STANDARD_DEVIATION))
        results: list[Values | None] = [None, None]
        read = (*decoding.sources, *((decoding.target,) if modality.identity_names() else ()))
        with torch.random.fork_rng():
            torch.manual_seed(self.seed_)
            for where, batch in query.batches(self.module.device, read):
                parts = decoding(self.module, batch, query.cells[where] if is_own_data else None)
                for position, part in enumerate(parts):
                    if part is None:
                        continue
                    if results[position] is None:
                        results[position] = allocate(slots[position], (len(query.cells), *part.shape[1:]))
                    results[position][where] = part.cpu().numpy()
        return results[0], results[1]

    def _in_axes(self: "LatentModel", block: str, mean: np.ndarray, std: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give latents in the coordinates in which users see them."""
        axes = self.axes_.get(block)
        return (mean, std) if axes is None else (mean @ axes, np.sqrt(std**2 @ axes**2))

    def _out_of_axes(self: "LatentModel", modality: str, latents: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Check latents that a user gives, and turn them back into what decoders read."""
        blocks, shared = self.layout.blocks_of(modality), self.layout.shared_of(modality)
        if set(latents) not in (set(blocks), set(shared)):
            raise KeyError(
                f"latents has the blocks {sorted(latents)}; expected {sorted(blocks)}, or {sorted(shared)} for the "
                "shared-only decoder."
            )
        parts = {}
        for name, values in latents.items():
            axes = self.axes_.get(name)
            width = self.layout[name].width if axes is None else axes.shape[1]
            given = np.asarray(values, dtype=np.float32)
            if given.ndim != 2 or given.shape[1] != width or len(given) != len(next(iter(latents.values()))):
                raise ValueError(f"latents[{name!r}] has shape {given.shape}; expected (rows, {width}).")
            parts[name] = given if axes is None else np.float32(given @ np.linalg.pinv(axes))
        return parts

    @torch.no_grad()
    def _decode_latents(
        self: "LatentModel", decoding: Decoding, parts: dict[str, np.ndarray], batch_size: int
    ) -> np.ndarray:
        device, decoded = self.module.device, []
        for rows in torch.arange(len(next(iter(parts.values())))).split(batch_size):
            given = {name: torch.from_numpy(values)[rows].to(device) for name, values in parts.items()}
            decoded.append(decoding.expected(self.module, given, empty_batch(len(rows), device)).cpu().numpy())
        return np.concatenate(decoded)

    def _obs(self, query: Query, modality: str) -> pd.DataFrame:
        """Annotation of the cells: that of the MuData, and what only the modality says."""
        obs = query.mdata.obs.iloc[query.cells].copy()
        if modality in query.mdata.mod:
            own = query.mdata.mod[modality].obs.reindex(obs.index)
            obs = obs.join(own[[column for column in own.columns if column not in obs.columns]])
        return obs


def _steps(refine_steps: int) -> int:
    if refine_steps < 0:
        raise ValueError(f"refine_steps is {refine_steps}; expected 0 or more.")
    return refine_steps


def _rows(indices: np.ndarray, n_cells: int) -> np.ndarray:
    """Rows by number, counted from the end where negative, or by a mask.

    Raises
    ------
    IndexError
        If there are no such rows, or a mask has another length.
    """
    if indices.dtype == bool:
        if len(indices) != n_cells:
            raise IndexError(f"indices is a mask over {len(indices)} cells; mdata has {n_cells}.")
        return np.flatnonzero(indices)
    rows = indices.astype(int)
    if len(rows) and (rows.min() < -n_cells or rows.max() >= n_cells):
        raise IndexError(f"indices reach from {rows.min()} to {rows.max()}; mdata has rows 0 to {n_cells - 1}.")
    return rows % max(1, n_cells)
