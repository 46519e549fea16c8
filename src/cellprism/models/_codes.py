"""Codes that belong to cells: where they start, whom they follow, what they tell."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData

from cellprism import _keys
from cellprism.data import closest
from cellprism.models._axes import principal_axes
from cellprism.models._linear_start import NOISE, linear_start
from cellprism.models._prediction import _rows
from cellprism.models._registration import as_mudata, logger
from cellprism.training import Stage

if TYPE_CHECKING:
    from cellprism.data import CellDataset
    from cellprism.models._apollo import Apollo

LEAST_NATS = 0.1
"""A dimension whose codes tell less of a cell, on average, is put to rest."""


class Codes:
    """What models with a code for every cell have besides the verbs of all models."""

    def _prepare(self: "Apollo", dataset: "CellDataset", training: np.ndarray) -> None:
        """Give every cell a code to start from."""
        if self._start == "linear":
            codes = linear_start(self.module, dataset, training, self.seed_)
        else:
            random = np.random.default_rng(self.seed_)
            shape = len(dataset)
            codes = {b.name: 10 * NOISE * random.standard_normal((shape, b.width)) for b in self.layout.blocks}
        cells = torch.arange(len(dataset), device=self.module.device)
        self.module.codes.set(cells, {name: torch.as_tensor(code) for name, code in codes.items()})

    def _after_stage(self: "Apollo", stage: Stage, training: np.ndarray) -> None:
        """Once codes are fitted, put dimensions that carry nothing to rest, before encoders learn them."""
        if stage.uses_codes and self._noise is None:
            rows = {name: training[self._sees(name)[training]] for name in self.layout.names}
            cells = {name: torch.as_tensor(found, device=self.module.device) for name, found in rows.items()}
            self.module.codes.rest(cells, LEAST_NATS)

    def _finish(self: "Apollo", dataset: "CellDataset", training: np.ndarray) -> None:
        """Remember whose codes were fitted, and in which coordinates to give them."""
        super()._finish(dataset, training)
        fitted = np.concatenate([training, self.validation_indices_])
        self.module.codes.is_fitted[torch.as_tensor(fitted, device=self.module.device)] = True
        self.axes_ = principal_axes(self.module, dataset, training)
        self._warn_of_empty_blocks()

    def _warn_of_empty_blocks(self: "Apollo") -> None:
        found = self.block_information()
        for block in self.layout.blocks:
            if not block.is_private and not found.loc[block.name, "used"]:
                logger.warning(
                    "Nothing was found that %s share: block %r carries %.2f nats a cell, in no dimension more than %s. "
                    "Translations between them tell no more than the mean.",
                    " and ".join(block.modalities), block.name, found.loc[block.name, "nats"], LEAST_NATS,
                )  # fmt: skip

    def _follow(self: "Apollo", cells: Sequence[str]) -> None:
        """Give the codes in a file to the cells of the data at hand, by name."""
        self.cells_ = pd.Index(cells)
        if self._adata is not None:
            rows = self.cells_.get_indexer(self._adata.obs_names)
            self.module.codes.reorder(torch.as_tensor(rows, device=self.module.device))
            self.cells_ = self._adata.obs_names

    def get_codes(
        self: "Apollo",
        mdata: MuData | AnnData | None = None,
        block: str = _keys.SHARED,
        *,
        indices: Sequence[int] | np.ndarray | None = None,
    ) -> np.ndarray:
        """Codes that training fitted to its cells, found by the cells' names.

        What :meth:`get_latent_representation` gives is what encoders infer of any cell; codes are what the decoders
        say of those cells that training has seen.

        Parameters
        ----------
        mdata
            Some of the cells that the model was trained on, in any order; all of them by default.
        block
            Name of the block.
        indices
            Rows of ``mdata``; all by default.

        Returns
        -------
        Array (cells, width), float32, in the coordinates of :meth:`get_latent_representation`; NaN for cells that
        training did not see, or that have no modality that sees the block.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        KeyError
            If there is no such block.
        """
        self._require_training()
        if block not in self.layout.names:
            raise KeyError(f"There is no block {block!r}. {closest(block, list(self.layout.names))}")
        names = self.cells_ if mdata is None else as_mudata(mdata, list(self.registration.modalities)).obs_names
        names = names if indices is None else names[_rows(np.asarray(indices), len(names))]
        rows = self.cells_.get_indexer(names)
        with torch.no_grad():
            table = self.module.codes.tables[block].weight.cpu().numpy()
        codes = table[rows] if self.axes_.get(block) is None else table[rows] @ self.axes_[block]
        codes[(rows < 0) | ~self._has_code(block)[rows]] = np.nan
        return codes

    def _has_code(self: "Apollo", block: str) -> np.ndarray:
        """Whether training fitted a code of this block to each cell."""
        is_fitted = self.module.codes.is_fitted.cpu().numpy()
        return is_fitted if self._dataset is None else is_fitted & self._sees(block)

    def _sees(self: "Apollo", block: str) -> np.ndarray:
        """Whether each cell was measured in a modality that sees this block."""
        dataset = self._require_dataset()
        return np.logical_or.reduce([dataset.is_observed(name) for name in self.layout[block].modalities])

    def block_information(self: "Apollo") -> pd.DataFrame:
        r"""How much of a cell each block's codes tell.

        Of a training cell, noise included that repays its price there: what a dimension in use means is for
        :func:`cellprism.tl.probe`, :func:`cellprism.tl.leakage` and other seeds to say.

        Returns
        -------
        By block: ``width``; ``nats``, the mean over training cells of :math:`KL(q(z) \,\|\, N(0, I))`; ``used``, the
        number of dimensions that carry at least 0.1 nats of it.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        """
        self._require_training()
        found = {}
        for name in self.layout.names:
            cells = torch.as_tensor(np.flatnonzero(self._has_code(name)), device=self.module.device)
            nats = self.module.codes.nats(name, cells)
            found[name] = {
                "width": len(nats),
                "nats": float(nats.sum()),
                "used": int((nats >= LEAST_NATS).sum()),
            }
        return pd.DataFrame.from_dict(found, orient="index").astype({"width": int, "used": int})

    def prune(self: "Apollo", least_share: float = 0.01) -> dict[str, int]:
        """Leave out axes that carry nothing, so that latents are narrower from now on.

        Parameters
        ----------
        least_share
            An axis stays if it carries at least this share of what its block moves in the measurements, and
            anything at all; the first of a block always does.

        Returns
        -------
        Width of each block's latents as :meth:`get_latent_representation` gives them from now on.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        ValueError
            If ``least_share`` is out of range.
        """
        self._require_training()
        if not 0 <= least_share < 1:
            raise ValueError(f"least_share is {least_share}; expected a number from 0 to below 1.")
        for block, axes in self.axes_.items():
            effect = self.get_codes(block=block)
            effect = np.nanvar(effect, axis=0)
            kept = (effect >= least_share * effect.sum()) & (effect > 0)
            kept[effect.argmax()] = True
            self.axes_[block] = axes[:, kept]
        return {block: axes.shape[1] for block, axes in self.axes_.items()}
