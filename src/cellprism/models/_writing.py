"""Everything a model knows about cells, into the standard slots."""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from anndata import AnnData
from mudata import MuData

from cellprism import __version__, _keys
from cellprism.models._prediction import DEFAULT_BATCH_SIZE
from cellprism.models._query import Fill, Query

if TYPE_CHECKING:
    from cellprism.models._base import LatentModel


class Writing:
    """The verb that changes the user's object."""

    def write(
        self: "LatentModel",
        mdata: MuData | AnnData | None = None,
        *,
        reconstructed: bool = True,
        translated: bool = True,
        fill: Fill = "shared",
        overwrite: bool = False,
        batch_size: int = DEFAULT_BATCH_SIZE,
    ) -> None:
        """Write latents, reconstructions and translations into the standard slots.

        ``mdata.obsm["X_shared"]``; within each modality ``.obsm["X_shared"]``, ``.obsm["X_private"]``,
        ``.layers["reconstructed"]``, ``.layers["translated_from_<source>"]`` for cells that have both, and
        ``.obsm["<target>_translated"]`` for cells that lack the target; ``mdata.uns["cellprism"]``.
        NaN stands where a cell has no such value.

        Parameters
        ----------
        mdata
            Where to write; the data the model was made with by default.
        reconstructed, translated
            Write expected values, which are dense matrices of cells x features.
        fill
            As in :meth:`translate`.
        overwrite
            Replace slots that something else wrote.
        batch_size
            Cells a minibatch.

        Raises
        ------
        ValueError
            If a slot is taken by something that cellprism did not write, before anything is changed; or if
            ``mdata`` is a view.
        """
        query = self._query(mdata, None, batch_size)
        if query.mdata.is_view or (isinstance(mdata, AnnData) and mdata.is_view):
            raise ValueError("mdata is a view, so that results would be lost. Write into mdata.copy().")
        slots = self._plan(query, fill, reconstructed, translated)
        given = self._given if mdata is None else mdata
        uns = (given if isinstance(given, AnnData) else query.mdata).uns
        before = _written_before(uns)
        taken = [name for name in slots if _exists(query.mdata, name) and name not in before]
        taken += [f"mdata.uns/{_keys.UNS}"] if _keys.UNS in uns and not _is_ours(uns[_keys.UNS]) else []
        if taken and not overwrite:
            raise ValueError(
                f"These slots hold something that cellprism did not write: {', '.join(taken)}. "
                "Rename them, or pass overwrite=True."
            )
        for fill_slot in slots.values():
            fill_slot()
        settings = self._settings(fill) | {"written": json.dumps(sorted(before | set(slots)))}
        uns[_keys.UNS] = settings

    def _plan(
        self: "LatentModel", query: Query, fill: Fill, reconstructed: bool, translated: bool
    ) -> dict[str, Callable[[], None]]:
        """Name every slot, and say how it is filled."""
        slots: dict[str, Callable[[], None]] = {}
        mdata, present = query.mdata, list(query.dataset.rows)
        for block in self.layout.blocks:
            sources = tuple(m for m in block.modalities if m in present)
            if sources and (not block.is_private or block.name == _keys.SHARED):
                _add_latent(slots, self, query, mdata, "mdata", _keys.latent_key(block.name), block.name, sources)
        for name in present:
            own = self._cells_of(query, name)
            for block_name in self.layout.blocks_of(name):
                private = self.layout[block_name].is_private and block_name in self.layout.private_of(name)
                key = _keys.X_PRIVATE if private else _keys.latent_key(block_name)
                path = f"mdata[{name!r}]"
                _add_latent(slots, self, own, mdata.mod[name], path, key, block_name, (name,))
            if reconstructed:
                _add_reconstructed(slots, self, own, name)
        if translated:
            for source in present:
                for target in self.registration.modalities:
                    if source != target and self.layout.common(source, target):
                        _add_translated(slots, self, query, source, target, fill)
        return slots

    def _cells_of(self: "LatentModel", query: Query, modality: str) -> Query:
        """Cells of a modality, in the order of its own rows."""
        row_of_cell = query.dataset.row_of_cell[modality].cpu().numpy()
        cells = np.flatnonzero(row_of_cell >= 0)
        cells = cells[np.argsort(row_of_cell[cells], kind="stable")]
        return Query(query.mdata, query.dataset, cells, query.batch_size)

    def _settings(self: "LatentModel", fill: str) -> dict[str, Any]:
        return {
            "model": type(self).__name__,
            "version": __version__,
            "seed": self.seed_,
            "fill": fill,
            "modalities": json.dumps({name: repr(m) for name, m in self.registration.modalities.items()}),
            "settings": json.dumps(self.init_params_ | {"registration": self.registration.to_plain()}),
        }


def _is_ours(entry: Any) -> bool:
    return isinstance(entry, Mapping) and "model" in entry


def _written_before(uns: Mapping[str, Any]) -> set[str]:
    entry = uns.get(_keys.UNS)
    return set(json.loads(entry.get("written", "[]"))) if _is_ours(entry) else set()


def _exists(mdata: MuData, slot: str) -> bool:
    path, _, key = slot.partition(".obsm/") if ".obsm/" in slot else slot.partition(".layers/")
    where = mdata if path == "mdata" else mdata.mod[path.removeprefix("mdata[").removesuffix("]")[1:-1]]
    return key in (where.obsm if ".obsm/" in slot else where.layers)


def _add_latent(
    slots: dict, model: "LatentModel", query: Query, target: MuData | AnnData, path: str, key: str, block: str,
    sources: tuple[str, ...],
) -> None:  # fmt: skip
    def fill_slot() -> None:
        target.obsm[key] = model._in_axes(block, *model._latents(query, block, sources))[0]

    slots[f"{path}.obsm/{key}"] = fill_slot


def _add_reconstructed(slots: dict, model: "LatentModel", own: Query, name: str) -> None:
    modality = model.registration.modalities[name]

    def fill_slot() -> None:
        values, _ = model._decode(own, model._decoding(name, (name,), "own"))
        state = model._state(f"modality {name}")
        modality.write_own(own.mdata.mod[name], _keys.RECONSTRUCTED, values, state)

    slots[f"mdata[{name!r}].{modality.own_slot(_keys.RECONSTRUCTED)}"] = fill_slot


def _add_translated(slots: dict, model: "LatentModel", query: Query, source: str, target: str, fill: Fill) -> None:
    """Translate once; write for cells that have the target into the target, for others into the source."""
    has_target = query.dataset.is_observed(target) if target in query.dataset.rows else None
    modality, state = model.registration.modalities[target], model._state(f"modality {target}")

    def translated(of: str, wanted: np.ndarray, identity: str | None = None) -> np.ndarray:
        """Values for the rows of a modality; NaN for cells that are not wanted."""
        rows = model._cells_of(query, of)
        chosen = wanted[rows.cells]
        part = Query(rows.mdata, rows.dataset, rows.cells[chosen], rows.batch_size)
        values, _ = model._decode(part, model._decoding(target, (source,), fill, identity=identity))
        full = np.full((len(rows.cells), *values.shape[1:]), np.nan, dtype=np.float32)
        full[chosen] = values
        return full

    has_source = query.dataset.is_observed(source)
    if has_target is not None and (has_source & has_target).any():
        key = _keys.translated_layer(source)

        def fill_own() -> None:
            modality.write_own(query.mdata.mod[target], key, translated(target, has_source & has_target), state)

        slots[f"mdata[{target!r}].{modality.own_slot(key)}"] = fill_own
    lacking = has_source if has_target is None else has_source & ~has_target
    if lacking.any():
        for identity in modality.identity_names() or (None,):
            foreign = _keys.translated_obsm(target, identity)

            def fill_foreign(foreign: str = foreign, identity: str | None = identity) -> None:
                values = translated(source, lacking, identity)
                modality.write_foreign(query.mdata.mod[source], foreign, values, state)

            slots[f"mdata[{source!r}].{modality.foreign_slot(foreign)}"] = fill_foreign
