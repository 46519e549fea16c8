"""A toy model that no engine file knows: autoencoders whose latents of paired cells coincide."""

from collections.abc import Sequence
from typing import Any, Self

from anndata import AnnData
from mudata import MuData

from cellprism.latents import LatentLayout
from cellprism.modalities import Architecture
from cellprism.models import LatentModel
from cellprism.objectives import Anchor, CrossReconstruction, Objective, Reconstruction, SharedReconstruction
from cellprism.training import Optimisation, Schedule, Stage


class PairedAutoencoder(LatentModel):
    """Reconstruction, and an anchor where cells are paired."""

    def __init__(
        self,
        mdata: MuData | AnnData | None = None,
        *,
        n_shared: int = 8,
        n_private: int = 2,
        n_hidden: int = 32,
        layout: LatentLayout | None = None,
        objectives: Sequence[Objective] | None = None,
        seed: int | None = None,
        registry: dict | None = None,
    ) -> None:
        super().__init__(
            mdata,
            architecture=Architecture(n_hidden, 1, 0.0),
            layout=layout,
            n_shared=n_shared,
            n_private=n_private,
            objectives=objectives,
            seed=seed,
            registry=registry,
        )

    @classmethod
    def _from_saved(cls, mdata: MuData | AnnData | None, registry: dict, init_params: dict[str, Any]) -> Self:
        return cls(
            mdata,
            n_hidden=Architecture.from_plain(init_params["architecture"]).n_hidden,
            layout=LatentLayout.from_plain(init_params["layout"]),
            objectives=[Objective.from_plain(plain) for plain in init_params["objectives"]],
            seed=init_params["seed"],
            registry=registry,
        )

    def _default_objectives(self) -> tuple[Objective, ...]:
        chosen: tuple[Objective, ...] = (Reconstruction(), SharedReconstruction())
        if len(self.registration.modalities) > 1:
            chosen += (Anchor(distance="l2", weight=0.1), CrossReconstruction())
        return chosen

    def _stages(self, pretrain: str | None, freeze: bool) -> list[Stage]:
        return [Stage("train", self.objectives, tuple(self.registration.modalities))]

    def train(self, max_epochs: int = 10, *, batch_size: int = 128, **other: Any) -> None:
        """Train on all cells but a tenth."""
        self._train(
            self._stages(None, False),
            train_indices=other.get("train_indices"),
            validation_indices=None,
            validation_size=0.1,
            schedule=Schedule(
                max_epochs, batch_size, show_progress=other.get("enable_progress_bar", True), seed=self.seed_,
                accelerator=other.get("accelerator", "auto"),
            ),
            optimisation=Optimisation(learning_rate=other.get("learning_rate", 1e-3)),
        )  # fmt: skip
