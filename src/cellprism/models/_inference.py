"""The verbs: latents, reconstruct, translate, impute."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from cellprism import _keys
from cellprism.data import closest
from cellprism.models._prediction import DEFAULT_BATCH_SIZE, Prediction, _steps
from cellprism.models._query import Fill

if TYPE_CHECKING:
    from cellprism.models._base import LatentModel


class Inference(Prediction):
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
        refine_steps: int = 0,
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
        refine_steps
            Improve what the encoders infer by so many steps through the decoders as they are.
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
        sources = seen_by if modality is None else (modality,)
        mean, std = self._in_axes(block, *self._latents(query, block, sources, _steps(refine_steps)))
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
        identity: str | None = None,
        refine_steps: int = 0,
        batch_size: int = DEFAULT_BATCH_SIZE,
        to_disk: str | Path | None = None,
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
        identity
            What to predict where a modality's cells were stained for different things; what was stained by default.
        refine_steps
            As in :meth:`get_latent_representation`.
        batch_size
            Cells a minibatch.
        to_disk
            Write the result into this new ``.h5ad`` file, a minibatch at a time, instead of into memory.

        Returns
        -------
        AnnData of cells x features on the scale of the data; backed by the file with ``to_disk``. (Images lie in
        ``.obsm``, which AnnData reads into memory when it opens a file.)
        """
        self._check_modality(modality)
        query = self._query(mdata, indices, batch_size)
        query = self._keep(query, query.dataset.is_observed(modality) if modality in query.dataset.rows else None,
                           f"was measured in {modality!r}")  # fmt: skip
        decoding = self._decoding(
            modality,
            (modality,),
            "own",
            transform_batch=transform_batch,
            library_size=library_size,
            identity=identity,
            n_samples=n_samples,
            refine_steps=refine_steps,
        )
        return self._predict(query, decoding, {"verb": "reconstruct", "target": modality}, to_disk)

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
        identity: str | None = None,
        refine_steps: int = 0,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int = DEFAULT_BATCH_SIZE,
        to_disk: str | Path | None = None,
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
            What stands in for the target's private block: ``"shared"`` (a decoder that needs none; zeros where the
            model has no such decoder), ``"mean"`` (the training cells' mean), ``"sample"`` (a draw around it),
            ``"donor"`` (that of the training cell with the target that is nearest in the shared block) or
            ``"zeros"``. Written to ``.uns``.
        transform_batch
            Decode for this experimental batch, or averaged over several. By default the cell's own where the target
            was measured in it in training, else averaged over the batches in which it was.
        library_size
            Expected total of a cell; by default what the shared block lets expect (ridge regression of the training
            cells' log totals).
        identity
            What to predict where the target's cells were stained for different things, such as ``"CD8"``. By default
            what was stained in each cell, which must then have been measured in the target.
        refine_steps
            As in :meth:`get_latent_representation`.
        indices
            Rows of ``mdata``; all by default.
        batch_size
            Cells a minibatch.
        to_disk
            As in :meth:`reconstruct`.

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
        decoding = self._decoding(
            target,
            (source,),
            fill,
            transform_batch=transform_batch,
            library_size=library_size,
            identity=identity,
            n_samples=n_samples,
            refine_steps=refine_steps,
        )
        return self._predict(query, decoding, {"verb": "translate", "source": source, "target": target}, to_disk)

    def impute(
        self: "LatentModel",
        target: str,
        mdata: MuData | AnnData | None = None,
        *,
        n_samples: int = 0,
        fill: Fill = "shared",
        transform_batch: str | Sequence[str] | None = None,
        library_size: float | None = None,
        identity: str | None = None,
        refine_steps: int = 0,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int = DEFAULT_BATCH_SIZE,
        to_disk: str | Path | None = None,
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
        decoding = self._decoding(
            target,
            sources,
            fill,
            transform_batch=transform_batch,
            library_size=library_size,
            identity=identity,
            n_samples=n_samples,
            refine_steps=refine_steps,
        )
        return self._predict(query, decoding, {"verb": "impute", "target": target}, to_disk)

    def decode(
        self: "LatentModel",
        modality: str,
        latents: Mapping[str, np.ndarray],
        *,
        transform_batch: str | Sequence[str] | None = None,
        library_size: float | None = None,
        identity: str | None = None,
        batch_size: int = DEFAULT_BATCH_SIZE,
    ) -> AnnData:
        """Expected values of a modality at given latents, such as points along an axis of a block.

        Parameters
        ----------
        modality
            What to decode.
        latents
            By block, (rows, width) as :meth:`get_latent_representation` gives them. All blocks that the modality
            sees, or all but its private ones, for which the shared-only decoder is used.
        transform_batch
            Decode for this experimental batch, or averaged over several; by default averaged over those in which
            the modality was measured.
        library_size
            Expected total; by default what the shared block lets expect.
        identity
            What to predict where a modality's cells were stained for different things.
        batch_size
            Rows a minibatch.

        Returns
        -------
        AnnData of rows x features, on the scale of the data.

        Raises
        ------
        KeyError
            If a block is missing, or the modality does not see it.
        ValueError
            If rows or widths do not fit.
        """
        self._check_modality(modality)
        self._require_training()
        parts = self._out_of_axes(modality, latents)
        fill = "shared" if len(parts) < len(self.layout.blocks_of(modality)) else "mean"
        decoding = self._decoding(
            modality,
            (),
            fill,
            transform_batch=transform_batch or [self.batch_categories[c] for c in self.measured_batches_[modality]]
            if self.batch_categories
            else None,
            library_size=library_size,
            identity=identity,
        )
        values = self._decode_latents(decoding, parts, batch_size)
        obs = pd.DataFrame(index=[str(row) for row in range(len(values))])
        state = self._state(f"modality {modality}")
        return self.registration.modalities[modality].new_anndata(values, obs, state)
