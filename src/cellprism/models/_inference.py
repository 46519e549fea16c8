"""The verbs: latents, reconstruct, translate, impute."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData

from cellprism import _keys
from cellprism.data import CellDataset, closest
from cellprism.models._query import FILLS, Decoding, Donors, Fill, Query, block_posterior
from cellprism.models._registration import as_mudata

if TYPE_CHECKING:
    from cellprism.models._base import LatentModel

DEFAULT_BATCH_SIZE = 512


class Inference:
    """What a trained model tells about cells, its own or new ones."""

    def get_latent_representation(
        self: "LatentModel",
        mdata: MuData | AnnData | None = None,
        block: str = _keys.SHARED,
        modality: str | None = None,
        *,
        indices: Sequence[int] | np.ndarray | None = None,
        n_samples: int = 0,
        return_std: bool = False,
        batch_size: int = DEFAULT_BATCH_SIZE,
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Posterior mean of a latent block.

        Parameters
        ----------
        mdata
            Cells; those the model was made with by default.
        block
            Name of the block: ``"shared"``, or a modality's name for its private block.
        modality
            Infer from this modality alone. By default a shared block is inferred from all modalities that a cell
            has (product of experts), a private one from its own modality.
        indices
            Rows of ``mdata``; all by default.
        n_samples
            Draw so many latents from the posterior instead of giving its mean.
        return_std
            Also give the posterior's standard deviation.
        batch_size
            Cells a minibatch.

        Returns
        -------
        Array (cells, width), float32; NaN where a cell has no such latent. With ``n_samples``: (samples, cells,
        width). With ``return_std``: a pair of arrays (cells, width), mean and standard deviation.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        KeyError
            If there is no such block or modality.
        ValueError
            If the modality does not see the block.
        """
        query = self._query(mdata, indices, batch_size)
        if block not in self.layout.names:
            raise KeyError(f"There is no block {block!r}. {closest(block, list(self.layout.names))}")
        seen_by = self.layout[block].modalities
        if modality is not None and self._check_modality(modality) not in seen_by:
            raise ValueError(f"Block {block!r} is not seen by {modality!r}, only by {', '.join(map(repr, seen_by))}.")
        mean, std = self._latents(query, block, seen_by if modality is None else (modality,))
        if n_samples:
            noise = np.random.default_rng(self.seed_).standard_normal((n_samples, *mean.shape), dtype=np.float32)
            return mean + std * noise
        return (mean, std) if return_std else mean

    def reconstruct(
        self: "LatentModel",
        modality: str,
        mdata: MuData | AnnData | None = None,
        *,
        indices: Sequence[int] | np.ndarray | None = None,
        n_samples: int = 0,
        transform_batch: str | Sequence[str] | None = None,
        library_size: float | None = None,
        batch_size: int = DEFAULT_BATCH_SIZE,
    ) -> AnnData:
        """Expected values of a modality for the cells that were measured in it, from their own measurement.

        Parameters
        ----------
        modality
            What to reconstruct.
        mdata
            Cells; those the model was made with by default.
        indices
            Rows of ``mdata``; all by default.
        n_samples
            Decode so many draws from the posterior: the mean over them is given, and their standard deviation in
            ``.layers["std"]``. 0 decodes the posterior's mean.
        transform_batch
            Decode as if measured in this experimental batch, or averaged over several; the cell's own by default.
        library_size
            Expected total of a cell; its own total by default.
        batch_size
            Cells a minibatch.

        Returns
        -------
        AnnData of cells x features on the scale of the data.
        """
        self._check_modality(modality)
        query = self._query(mdata, indices, batch_size)
        query = self._keep(query, query.dataset.is_observed(modality) if modality in query.dataset.rows else None,
                           f"was measured in {modality!r}")  # fmt: skip
        decoding = self._decoding(modality, (modality,), "own", transform_batch, library_size, n_samples)
        return self._predict(query, decoding, {"verb": "reconstruct", "target": modality})

    def translate(
        self: "LatentModel",
        source: str,
        target: str,
        mdata: MuData | AnnData | None = None,
        *,
        n_samples: int = 0,
        fill: Fill = "shared",
        transform_batch: str | Sequence[str] | None = None,
        library_size: float | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int = DEFAULT_BATCH_SIZE,
    ) -> AnnData:
        """Predict one modality from another, for every cell that was measured in the source.

        Parameters
        ----------
        source, target
            Names of modalities.
        mdata
            Cells; those the model was made with by default. The target need not be there.
        n_samples
            As in :meth:`reconstruct`.
        fill
            What stands in for the target's private block: ``"shared"`` (a decoder that needs none), ``"mean"`` (the
            training cells' mean), ``"sample"`` (a draw around it) or ``"donor"`` (that of the training cell with the
            target that is nearest in the shared block). Written to ``.uns``.
        transform_batch
            Decode for this experimental batch, or averaged over several. By default the cell's own where the target
            was measured in it in training, else averaged over the batches in which it was.
        library_size
            Expected total of a cell; by default what the shared block lets expect (ridge regression of the training
            cells' log totals).
        indices
            Rows of ``mdata``; all by default.
        batch_size
            Cells a minibatch.

        Returns
        -------
        AnnData of source cells x target features, on the scale of the data.

        Raises
        ------
        ValueError
            If source and target are the same, or share no block; if no cell has the source.
        """
        self._check_modality(source)
        if source == self._check_modality(target):
            raise ValueError(f"translate from {source!r} to itself; use reconstruct({source!r}).")
        if not self.layout.common(source, target):
            raise ValueError(f"{source!r} and {target!r} share no block, so one tells nothing about the other.")
        query = self._query(mdata, indices, batch_size)
        query = self._keep(query, query.dataset.is_observed(source) if source in query.dataset.rows else None,
                           f"was measured in {source!r}")  # fmt: skip
        decoding = self._decoding(target, (source,), fill, transform_batch, library_size, n_samples)
        return self._predict(query, decoding, {"verb": "translate", "source": source, "target": target})

    def impute(
        self: "LatentModel",
        target: str,
        mdata: MuData | AnnData | None = None,
        *,
        n_samples: int = 0,
        fill: Fill = "shared",
        transform_batch: str | Sequence[str] | None = None,
        library_size: float | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int = DEFAULT_BATCH_SIZE,
    ) -> AnnData:
        """Predict a modality for every cell that lacks it, from all that was measured in the cell.

        Parameters are those of :meth:`translate`, without a source.

        Returns
        -------
        AnnData of cells that lack the target x target features, on the scale of the data.

        Raises
        ------
        ValueError
            If every cell was measured in the target, or no cell that lacks it has anything that tells.
        """
        self._check_modality(target)
        query = self._query(mdata, indices, batch_size)
        dataset = query.dataset
        sources = tuple(m for m in dataset.rows if m != target and self.layout.common(m, target))
        telling = np.zeros(len(dataset), dtype=bool)
        for source in sources:
            telling |= dataset.is_observed(source)
        lacking = ~dataset.is_observed(target) if target in dataset.rows else np.ones(len(dataset), dtype=bool)
        query = self._keep(query, telling & lacking, f"lacks {target!r} and has another modality to tell it")
        decoding = self._decoding(target, sources, fill, transform_batch, library_size, n_samples)
        return self._predict(query, decoding, {"verb": "impute", "target": target})

    # ---- beneath the verbs

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
        if needs_training and not self.is_trained_:
            raise RuntimeError(f"This {type(self).__name__} is not trained. Call train() first.")
        mdata, dataset = self._read(data)
        cells = np.arange(len(dataset)) if indices is None else np.asarray(indices)
        cells = np.flatnonzero(cells) if cells.dtype == bool else cells.astype(int)
        if len(cells) and (cells.min() < -len(dataset) or cells.max() >= len(dataset)):
            raise IndexError(f"indices reach to {cells.max()}; mdata has rows 0 to {len(dataset) - 1}.")
        return Query(mdata, dataset, cells % max(1, len(dataset)), batch_size)

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

    @torch.inference_mode()
    def _latents(
        self: "LatentModel", query: Query, block: str, sources: tuple[str, ...]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Posterior mean and standard deviation; NaN where no source tells."""
        width = self.layout[block].width
        mean = np.full((len(query.cells), width), np.nan, dtype=np.float32)
        std = mean.copy()
        for where, batch in query.batches(self.module.device):
            telling = batch.only(sources)
            if not telling.observed:
                continue
            posterior = block_posterior(self.layout, telling, self.module.encode(telling), block)
            known = np.zeros(batch.n_cells, dtype=bool)
            for observed in telling.observed.values():
                known[observed.cells.cpu().numpy()] = True
            mean[where][known] = posterior.mean.cpu().numpy()[known]
            std[where][known] = posterior.log_scale.exp().cpu().numpy()[known]
        return mean, std

    def _decoding(
        self: "LatentModel",
        target: str,
        sources: tuple[str, ...],
        fill: str,
        transform_batch: str | Sequence[str] | None,
        library_size: float | None,
        n_samples: int,
    ) -> Decoding:
        if fill not in (FILLS if target not in sources else ("own",)):
            raise ValueError(f"fill is {fill!r}; expected one of {', '.join(map(repr, FILLS))}.")
        if library_size is not None and not library_size > 0:
            raise ValueError(f"library_size is {library_size}; expected a positive number.")
        return Decoding(
            target,
            sources,
            fill if self.layout.private_of(target) or fill == "own" else "shared",
            self._batch_codes(transform_batch),
            tuple(self.measured_batches_[target]),
            library_size,
            None,
            n_samples,
            self._donors(target) if fill == "donor" and self.layout.private_of(target) else None,
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

    def _predict(self: "LatentModel", query: Query, decoding: Decoding, about: dict[str, Any]) -> AnnData:
        """Decode minibatch by minibatch into host memory, and put the result into an AnnData."""
        mean, std = self._decode(query, decoding)
        state = self._state(f"modality {decoding.target}")
        modality = self.registration.modalities[decoding.target]
        adata = modality.new_anndata(mean, self._obs(query, about.get("source", about["target"])), state)
        if std is not None:
            modality.write_own(adata, _keys.STANDARD_DEVIATION, std, state)
        fill = {} if decoding.fill == "own" else {"fill": decoding.fill}
        adata.uns[_keys.UNS] = about | fill | {"model": type(self).__name__, "n_samples": decoding.n_samples}
        return adata

    @torch.inference_mode()
    def _decode(self: "LatentModel", query: Query, decoding: Decoding) -> tuple[np.ndarray, np.ndarray | None]:
        is_own_data = query.dataset is self._dataset
        results: list[np.ndarray | None] = [None, None]
        with torch.random.fork_rng():
            torch.manual_seed(self.seed_)
            for where, batch in query.batches(self.module.device):
                parts = decoding(self.module, batch, query.cells[where] if is_own_data else None)
                for position, part in enumerate(parts):
                    if part is None:
                        continue
                    if results[position] is None:
                        results[position] = np.empty((len(query.cells), *part.shape[1:]), dtype=np.float32)
                    results[position][where] = part.cpu().numpy()
        return results[0], results[1]

    def _obs(self, query: Query, modality: str) -> pd.DataFrame:
        """Annotation of the cells: that of the MuData, and what only the modality says."""
        obs = query.mdata.obs.iloc[query.cells].copy()
        if modality in query.mdata.mod:
            own = query.mdata.mod[modality].obs.reindex(obs.index)
            obs = obs.join(own[[column for column in own.columns if column not in obs.columns]])
        return obs
