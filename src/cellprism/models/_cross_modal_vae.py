"""Cross-modal autoencoders: one per modality, aligned in a shared block."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from anndata import AnnData
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import Strategy
from mudata import MuData

from cellprism import _keys
from cellprism.data import closest
from cellprism.latents import LatentLayout
from cellprism.modalities import Architecture, Augmentation, Images, StridedConvolutions
from cellprism.models._base import LatentModel, default_epochs
from cellprism.models._registration import choose_modalities
from cellprism.models._training import at_least_one
from cellprism.objectives import (
    Anchor,
    Classifier,
    Critic,
    CrossReconstruction,
    Decorrelation,
    JointReconstruction,
    KLDivergence,
    LabelAnchor,
    MatchedReconstruction,
    Objective,
    Reconstruction,
    SharedReconstruction,
)
from cellprism.training import Optimisation, Schedule, Stage, objectives_of


class CrossModalVAE(LatentModel):
    """One variational autoencoder per modality, aligned in a shared latent block :cite:p:`yang2021`.

    Cells may be measured in all modalities, in some, or in one each. What aligns the modalities follows from the
    data, is logged, and can be replaced by ``objectives=``:

    - pairs: a contrastive anchor, reconstruction of each modality from the other, and a joint posterior;
    - labels: one classifier and a label anchor for all modalities, and where cells lack a modality, reconstruction of
      each modality from cells of the same class;
    - neither for some cells: a critic, which matches distributions, conditioned on markers where there are any.

    Parameters
    ----------
    mdata
        Cells; inferred and registered if :meth:`setup_mudata` was not called for it.
    n_shared
        Width of the block that all modalities see.
    n_private
        Width of the block that each modality sees alone, or one for each; 0 gives the model of the paper.
    n_hidden
        Width of hidden layers.
    n_layers
        Hidden layers of each encoder and decoder.
    dropout_rate
        Share of hidden units of the encoders dropped in training.
    input_dropout_rate
        Share of measured values hidden from the encoders in training; less for a modality with under 1,000
        features, in proportion.
    layout
        The latent space, instead of the widths.
    objectives
        Terms of the loss, instead of those that follow from the data.
    seed
        Fixes weights, order of cells and noise; ``scvi.settings.seed``, or 0, by default.
    registry
        For loading only.

    Examples
    --------
    >>> import cellprism as cp
    >>> mdata = cp.datasets.a549()
    >>> cp.CrossModalVAE.setup_mudata(mdata, labels_key="treatment_time")
    >>> model = cp.CrossModalVAE(mdata, seed=0)
    >>> model.train(max_epochs=2, enable_progress_bar=False)
    >>> model.get_latent_representation().shape
    (1874, 32)
    """

    def __init__(
        self,
        mdata: MuData | AnnData | None = None,
        *,
        n_shared: int = 32,
        n_private: int | dict[str, int] = 8,
        n_hidden: int = 128,
        n_layers: int = 1,
        dropout_rate: float = 0.2,
        input_dropout_rate: float = 0.5,
        layout: LatentLayout | None = None,
        objectives: Sequence[Objective] | None = None,
        seed: int | None = None,
        registry: dict | None = None,
    ) -> None:
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

    @classmethod
    def _from_saved(cls, mdata: MuData | AnnData | None, registry: dict, init_params: dict[str, Any]) -> Self:
        architecture = Architecture.from_plain(init_params["architecture"])
        return cls(
            mdata,
            n_hidden=architecture.n_hidden,
            n_layers=architecture.n_layers,
            dropout_rate=architecture.dropout_rate,
            input_dropout_rate=architecture.input_dropout_rate,
            layout=LatentLayout.from_plain(init_params["layout"]),
            objectives=[Objective.from_plain(plain) for plain in init_params["objectives"]],
            seed=init_params["seed"],
            registry=registry,
        )

    @classmethod
    def as_published(
        cls,
        mdata: MuData,
        image: str,
        *,
        labels_key: str,
        n_shared: int = 128,
        n_hidden: int = 1024,
        n_layers: int = 5,
        widths: tuple[int, ...] = (128, 256, 512, 1024, 1024),
        seed: int | None = None,
    ) -> Self:
        """Make the unpaired model of images and expression as :cite:t:`yang2021` had it.

        One shared block of 128 dimensions and no private ones; images through five strided convolutions of 128 to
        1,024 filters, squared error, no augmentation; expression through five layers of 1,024; a critic that reads
        the label, a linear classifier, a small weight on the divergence. Train it by the paper's schedule, the
        images first and frozen then, with ``model.train(pretrain=image)``.

        Images must be 64 x 64 pixels for the paper's sizes (:func:`cellprism.pp.resize_images`). What differs: group
        for batch normalisation, a count likelihood for expression, AdamW with a cosine schedule.

        Parameters
        ----------
        mdata
            Cells measured in images, others in expression.
        image
            Name of the modality of images, of which those in ``.obsm["image_resized"]`` are used if there are any,
            else those in ``.obsm["image"]``.
        labels_key
            Column with classes that both modalities have.
        n_shared, n_hidden, n_layers, widths
            The paper's sizes; smaller ones train in minutes.
        seed
            As for the class.

        Examples
        --------
        >>> model = CrossModalVAE.as_published(mdata, "nucleus", labels_key="phase3")  # doctest: +SKIP
        >>> model.train(pretrain="nucleus")  # doctest: +SKIP
        """
        if image not in mdata.mod:
            raise KeyError(f"mdata has no modality {image!r}. {closest(image, list(mdata.mod))}")
        kinds = choose_modalities(mdata, [name for name in mdata.mod if name != image])
        kinds[image] = Images(
            _keys.RESIZED if _keys.RESIZED in mdata.mod[image].obsm else _keys.IMAGE,
            augmentation=Augmentation(flips=False, right_angles=False),
            networks=StridedConvolutions(widths),
        )
        cls.setup_mudata(mdata, kinds, labels_key=labels_key)
        objectives = [
            Reconstruction(),
            KLDivergence(weight=0.01, bottleneck=0.0),
            Critic(weight=1.0, condition="labels", n_hidden=n_hidden),
            Classifier(weight=1.0),
        ]
        return cls(
            mdata,
            n_shared=n_shared,
            n_private=0,
            n_hidden=n_hidden,
            n_layers=n_layers,
            objectives=objectives,
            seed=seed,
        )

    def _default_objectives(self) -> tuple[Objective, ...]:
        chosen: list[Objective] = [Reconstruction(), SharedReconstruction(), KLDivergence()]
        dataset = self._require_dataset()
        names = list(self.registration.modalities)
        if any(self.layout.private_of(name) for name in names):
            chosen.append(Decorrelation())
        is_observed = np.stack([dataset.is_observed(name) for name in names])
        if (is_observed.sum(0) > 1).any():
            chosen += [CrossReconstruction(), JointReconstruction(), Anchor()]
        if self.label_categories:
            chosen.append(Classifier())
            chosen += [LabelAnchor()] if len(names) > 1 else []
        if len(names) > 1 and not is_observed.all():
            chosen += self._objectives_without_pairs()
        return tuple(chosen)

    def _objectives_without_pairs(self) -> list[Objective]:
        """What aligns cells that lack a modality: labels if there are any, else markers, else distributions alone."""
        if self.label_categories:
            return [MatchedReconstruction()]
        return [Critic(condition="marker" if self.registration.marker_keys else None)]

    def _stages(self, pretrain: str | None, freeze: bool, pretrain_epochs: int | None) -> list[Stage]:
        names = tuple(self.registration.modalities)
        everything = Stage("train", self.objectives, names)
        if pretrain is None:
            return [everything]
        self._check_modality(pretrain)
        alone = (pretrain,)
        return [
            Stage(f"pretrain {pretrain}", objectives_of(alone, self.objectives), alone, n_epochs=pretrain_epochs),
            Stage("match", self.objectives, names, frozen=alone if freeze else ()),
        ]

    def _default_epochs(self, batch_size: int) -> int:
        """Pairs of tables are learnt by heart if they are shown for long; images and mosaics take longer."""
        dataset = self._require_dataset()
        kinds = self.registration.modalities
        has_images = any(isinstance(kind, Images) for kind in kinds.values())
        is_complete = all(dataset.is_observed(name).all() for name in kinds)
        return default_epochs(len(dataset), batch_size, 250 if is_complete and not has_images else 500)

    def train(
        self,
        max_epochs: int | None = None,
        *,
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
        pretrain: str | None = None,
        pretrain_epochs: int | None = None,
        freeze: bool = True,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-2,
        enable_progress_bar: bool = True,
        callbacks: Sequence[Callback] = (),
        resident: bool | None = None,
    ) -> None:
        """Train; a run that is cut short keeps the weights with the best held-out loss, a whole one its last.

        Parameters
        ----------
        max_epochs
            Epochs at most, over which the learning rate falls to zero; by default 20, or more for few cells, so
            that there are about 250 steps, or 500 where there are images or some cells lack a modality.
        batch_size
            Cells a minibatch, in each process.
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
            Stop when the held-out loss has not improved for ``patience`` epochs.
        patience
            See ``early_stopping``; by default 30, or a third of the epochs where that is more: few cells make short
            epochs and a noisy held-out loss.
        train_indices
            Rows to learn from; all by default. Other cells are not looked at, neither for statistics.
        validation_indices
            Rows to stop by; by default a share ``validation_size`` of the training cells.
        validation_size
            See ``validation_indices``.
        pretrain
            Train this modality alone first, then match the others to it; by default all are trained together.
        pretrain_epochs
            Epochs of that stage; as many as of the other by default.
        freeze
            Do not change the pretrained modality while the others are matched to it.
        learning_rate
            Largest step size of AdamW.
        weight_decay
            Decay of weights.
        enable_progress_bar
            Show a progress bar with the losses.
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
            If a loss or gradient is NaN or infinite; objective, modality, epoch and step are named, and the best
            weights are kept.
        """
        at_least_one(max_epochs=max_epochs, pretrain_epochs=pretrain_epochs, batch_size=batch_size, patience=patience)
        n_epochs = max_epochs or self._default_epochs(batch_size)
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
            self._stages(pretrain, freeze, pretrain_epochs),
            train_indices=train_indices,
            validation_indices=validation_indices,
            validation_size=validation_size,
            schedule=schedule,
            optimisation=Optimisation(learning_rate=learning_rate, weight_decay=weight_decay),
        )
