"""Partially shared latents, found by fitting a code to every cell, then inferred by encoders."""

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from anndata import AnnData
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import Strategy
from mudata import MuData

from cellprism.latents import FreeLatents, LatentLayout
from cellprism.modalities import Architecture
from cellprism.models._base import LatentModel, default_epochs
from cellprism.models._codes import Codes
from cellprism.models._registration import logger
from cellprism.models._training import at_least_one
from cellprism.objectives import (
    CodePrior,
    CodeRegression,
    CrossReconstruction,
    JointReconstruction,
    NormPenalty,
    Objective,
    Reconstruction,
    SharedReconstruction,
)
from cellprism.training import Optimisation, Schedule, Stage


class Apollo(Codes, LatentModel):
    """A partially shared latent space by latent optimisation :cite:p:`zhang2026`.

    First every cell gets a code: a shared one, that the decoders of all its modalities read, and one for each
    modality alone. Codes and decoders are fitted together; a cell that lacks a modality has its shared code from
    the others. Then encoders learn to infer the codes from measurements, and are fine-tuned through the decoders as
    they are.

    What goes where follows from prices (:class:`~cellprism.objectives.CodePrior`): what two modalities need is
    cheapest in the block they share, what one needs is cheapest in its own, and a dimension that does not pay stays
    empty. Widths are therefore upper limits.

    Parameters
    ----------
    mdata
        Cells; inferred and registered if :meth:`setup_mudata` was not called for it.
    n_shared
        Width of the block that all modalities see, at most; 50 in the paper for sequencing, 1,024 for images.
    n_private
        Width of each private block at most, or one for each; 0 for none. 20 to 30 in the paper, 200 for images.
    n_hidden
        Width of hidden layers; 1,024 in the paper.
    n_layers
        Hidden layers of each encoder and decoder; 4 in the paper's decoders, 2 in its encoders.
    dropout_rate
        Share of hidden units of the encoders dropped in training.
    input_dropout_rate
        Share of measured values hidden from the encoders in training; less for a modality with under 1,000 features.
    has_shared_decoders
        Also learn decoders that read the shared code alone, which translation uses; otherwise it sets the private
        code to zero.
    start
        ``"linear"``: codes start from components of each modality and what they have in common; ``"random"``: near
        zero, as in the paper.
    noise
        Standard deviation of the noise on codes; 1 in the paper. By default it is learnt for each dimension.
    layout
        The latent space, instead of the widths; blocks may be shared by some of three or more modalities.
    objectives
        Terms of the loss, instead of the defaults.
    seed
        Fixes weights, order of cells and noise; ``scvi.settings.seed``, or 0, by default.
    registry
        For loading only.

    Examples
    --------
    >>> import cellprism as cp
    >>> mdata = cp.datasets.simulated("fully_independent", n_cells=200)
    >>> model = cp.Apollo(mdata, n_shared=4, n_private=4, seed=0)
    >>> model.train(max_epochs=2, enable_progress_bar=False)
    >>> model.get_latent_representation(block="x").shape
    (200, 4)
    """

    def __init__(
        self,
        mdata: MuData | AnnData | None = None,
        *,
        n_shared: int = 32,
        n_private: int | dict[str, int] = 16,
        n_hidden: int = 128,
        n_layers: int = 1,
        dropout_rate: float = 0.1,
        input_dropout_rate: float = 0.2,
        has_shared_decoders: bool = True,
        start: Literal["linear", "random"] = "linear",
        noise: float | None = None,
        layout: LatentLayout | None = None,
        objectives: Sequence[Objective] | None = None,
        seed: int | None = None,
        registry: dict | None = None,
        n_codes: int | None = None,
    ) -> None:
        if start not in ("linear", "random"):
            raise ValueError(f"start is {start!r}; expected 'linear' or 'random'.")
        if noise is not None and not noise > 0:
            raise ValueError(f"noise is {noise}; expected a positive number, or None to learn it.")
        self._start, self._noise, self._n_codes = start, noise, n_codes
        self._has_shared_decoders = has_shared_decoders
        super().__init__(
            mdata,
            architecture=Architecture(n_hidden, n_layers, dropout_rate, input_dropout_rate),
            layout=layout,
            n_shared=n_shared,
            n_private=n_private,
            objectives=objectives,
            seed=seed,
            registry=registry,
        )
        self.init_params_ |= {"start": start, "noise": noise, "n_codes": len(self.module.codes)}
        if self._adata is not None:
            self.cells_ = self._adata.obs_names

    def _new_codes(self, layout: LatentLayout) -> FreeLatents:
        return FreeLatents(self._n_codes or len(self._require_dataset()), layout, self._noise)

    @classmethod
    def _from_saved(cls, mdata: MuData | AnnData | None, registry: dict, init_params: dict[str, Any]) -> Self:
        architecture = Architecture.from_plain(init_params["architecture"])
        return cls(
            mdata,
            n_hidden=architecture.n_hidden,
            n_layers=architecture.n_layers,
            dropout_rate=architecture.dropout_rate,
            input_dropout_rate=architecture.input_dropout_rate,
            start=init_params["start"],
            noise=init_params["noise"],
            layout=LatentLayout.from_plain(init_params["layout"]),
            objectives=[Objective.from_plain(plain) for plain in init_params["objectives"]],
            seed=init_params["seed"],
            registry=registry,
            n_codes=init_params["n_codes"],
        )

    @classmethod
    def as_published(
        cls,
        mdata: MuData | AnnData,
        *,
        n_shared: int = 50,
        n_private: int | dict[str, int] = 30,
        n_hidden: int = 1024,
        n_layers: int = 4,
        has_shared_decoders: bool = False,
        seed: int | None = None,
    ) -> Self:
        """Make the model with the settings of :cite:t:`zhang2026`.

        Random codes, noise of standard deviation 1, a penalty of .001 on the length of codes, and encoders that
        regress on codes by squared error. Train it by the paper's schedule with ``model.train(2000,
        learning_rate=1e-4, code_learning_rate=1e-3, batch_size=512, fine_tune=False)``. What differs: layer for batch
        normalisation, the likelihoods of the modalities (give ``Features(likelihood="squared_error")`` for the
        squared error of its simulations), AdamW with a cosine schedule, and codes that are updated only with their
        cell.

        Parameters
        ----------
        mdata
            Cells.
        n_shared, n_private, n_hidden, n_layers
            The paper's sizes for CITE-seq; 2, 2, 20 and 4 in its simulations.
        has_shared_decoders
            As in the paper for chromatin accessibility and images; there they shape the shared code.
        seed
            As for the class.
        """
        objectives: list[Objective] = [Reconstruction(), NormPenalty(), CodeRegression(distance="squared_error")]
        objectives += [SharedReconstruction()] if has_shared_decoders else []
        return cls(
            mdata,
            n_shared=n_shared,
            n_private=n_private,
            n_hidden=n_hidden,
            n_layers=n_layers,
            dropout_rate=0.01,
            input_dropout_rate=0.0,
            start="random",
            noise=1.0,
            objectives=objectives,
            seed=seed,
        )

    def _default_objectives(self) -> tuple[Objective, ...]:
        chosen: list[Objective] = [Reconstruction(balance=0.0), CodePrior(), CodeRegression()]
        names = list(self.registration.modalities)
        has_private = any(self.layout.private_of(name) for name in names)
        if has_private and self._has_shared_decoders:
            chosen.append(SharedReconstruction(balance=0.0, moves_latents=False))
        if len(names) > 1:
            chosen.append(JointReconstruction())
            chosen += [CrossReconstruction()] if self._has_shared_decoders or not has_private else []
        return tuple(chosen)

    def _stages(self, encoder_epochs: int, fine_tune: bool) -> list[Stage]:
        names = tuple(self.registration.modalities)
        on_codes = tuple(objective for objective in self.objectives if not objective.is_of_encoders)
        regression = tuple(objective for objective in self.objectives if isinstance(objective, CodeRegression))
        through_decoders = tuple(
            objective
            for objective in self.objectives
            if objective.is_of_encoders or isinstance(objective, Reconstruction)
        )
        stages = [
            Stage("codes", on_codes, names, uses_codes=True),
            Stage("encoders", regression, names, n_epochs=encoder_epochs, has_frozen_decoders=True),
        ]
        if fine_tune:
            stages.append(
                Stage("fine-tune", through_decoders, names, n_epochs=encoder_epochs, has_frozen_decoders=True)
            )
        return stages

    def train(
        self,
        max_epochs: int | None = None,
        *,
        encoder_epochs: int | None = None,
        fine_tune: bool = True,
        batch_size: int = 128,
        accelerator: str = "auto",
        devices: Any = "auto",
        strategy: str | Strategy = "auto",
        num_nodes: int = 1,
        precision: Any = None,
        compile: bool = False,
        early_stopping: bool = True,
        patience: int | None = None,
        train_indices: Sequence[int] | np.ndarray | None = None,
        validation_indices: Sequence[int] | np.ndarray | None = None,
        validation_size: float = 0.1,
        learning_rate: float = 3e-3,
        code_learning_rate: float = 3e-2,
        weight_decay: float = 1e-2,
        enable_progress_bar: bool = True,
        callbacks: Sequence[Callback] = (),
        resident: bool | None = None,
    ) -> None:
        """Fit codes and decoders, then encoders; Ctrl-C ends the stage at hand, and training in the last ones.

        Held-out cells have codes too, which follow the decoders by a few steps each epoch and teach them nothing:
        the held-out loss of the first stage is that of cells the decoders have not seen.

        Parameters
        ----------
        max_epochs
            Epochs of the first stage at most; by default so many that there are about 2,500 steps, between 50 and
            400. The paper has 2,000 to 4,900.
        encoder_epochs
            Epochs of each of the other stages; by default about 1,000 steps, between 20 and 200.
        fine_tune
            Train encoders further by what the decoders make of what they infer.
        batch_size
            Cells a minibatch, in each process; 256 to 512 in the paper.
        accelerator, precision
            As in :class:`lightning.pytorch.Trainer`; a GPU is used where there is one. ``"bf16-mixed"`` computes
            networks in half precision, and sums, norms and critics in single precision.
        devices
            One by default, also where there are more. With several (a number, a list, -1 for all) each has a process
            and cells of its own, and gradients are averaged: a step is one of ``batch_size`` x devices x nodes cells.
        strategy
            How processes start. By default those of a script run it too (``"ddp"``), from ``train`` to its end, and
            those of a notebook are forked (``"ddp_notebook"``); also ``"ddp_fork"``, ``"ddp_spawn"``, or a Lightning
            strategy. A script's process is the first where
            ``lightning.pytorch.utilities.rank_zero_only.rank == 0``.
        num_nodes
            Machines, each of which runs the script, by ``torchrun`` or SLURM.
        compile
            Compile the networks with :func:`torch.compile`, which takes long before the first step and
            gains nothing on the CPU at the usual sizes.
        early_stopping
            Stop a stage when its held-out loss has not improved for ``patience`` epochs.
        patience
            See ``early_stopping``; by default 30, or a third of ``max_epochs`` where that is more.
        train_indices
            Rows to learn from; all by default. Other cells are not looked at, neither for statistics.
        validation_indices
            Rows to stop by; by default a share ``validation_size`` of the training cells.
        validation_size
            See ``validation_indices``.
        learning_rate
            Largest step size of AdamW for weights; 1e-4 in the paper.
        code_learning_rate
            Largest step size of Adam for codes; 1e-3 in the paper.
        weight_decay
            Decay of weights.
        enable_progress_bar
            Show a progress bar for each stage.
        callbacks
            Further Lightning callbacks.
        resident
            Keep all rows in memory and, on a GPU, in its memory. ``False`` reads those of a file (see
            :func:`cellprism.read_backed`) while training, and copies each minibatch to the GPU. By default rows are
            kept where a third of the free memory, or half of that of the GPU, holds them.

        Raises
        ------
        ValueError
            If a number of epochs, cells or steps is out of range.
        FloatingPointError
            If a loss or gradient is NaN or infinite; objective, modality, epoch and step are named.
        """
        at_least_one(max_epochs=max_epochs, encoder_epochs=encoder_epochs, batch_size=batch_size, patience=patience)
        self._say_what_pairs_tell()
        n_cells = len(self._require_dataset())
        n_epochs = max_epochs or min(400, default_epochs(n_cells, batch_size, 2500, at_least=50))
        for_encoders = encoder_epochs or min(n_epochs, 200, default_epochs(n_cells, batch_size, 1000))
        schedule = Schedule(
            max_epochs=n_epochs,
            batch_size=batch_size,
            patience=(patience or max(30, n_epochs // 3)) if early_stopping else None,
            seed=self.seed_,
            show_progress=enable_progress_bar,
            accelerator=accelerator,
            devices=devices,
            strategy=strategy,
            num_nodes=num_nodes,
            precision=precision,
            compile=compile,
            callbacks=tuple(callbacks),
            resident=resident,
        )
        self._train(
            self._stages(for_encoders, fine_tune),
            train_indices=train_indices,
            validation_indices=validation_indices,
            validation_size=validation_size,
            schedule=schedule,
            optimisation=Optimisation(
                learning_rate=learning_rate, code_learning_rate=code_learning_rate, weight_decay=weight_decay
            ),
        )

    def _say_what_pairs_tell(self) -> None:
        dataset, names = self._require_dataset(), list(self.registration.modalities)
        n_pairs = [dataset.n_pairs(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
        if n_pairs and not any(n_pairs):
            logger.warning(
                "No cell was measured in two modalities, so that nothing tells Apollo what they share. "
                "CrossModalVAE aligns modalities of different cells."
            )
