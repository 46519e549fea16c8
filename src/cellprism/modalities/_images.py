"""Microscope images of single cells."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData

from cellprism import _keys
from cellprism.data import ImageRows, some_in_memory
from cellprism.modalities._augmentation import Augmentation
from cellprism.modalities._base import Architecture, Modality
from cellprism.modalities._image_coder import ImageCoder
from cellprism.modalities._image_layout import (
    channel_names,
    channel_positions,
    check_pixels,
    check_variation,
    identity_column,
    image_array,
    read_identity,
    read_mask,
    read_measured,
)
from cellprism.modalities._image_networks import ImageNetworks, ResidualConvolutions

SCALES = ("dtype", "percentile", "cell")


@dataclass(frozen=True)
class Images(Modality):
    r"""Microscope images of single cells, in ``.obsm[key]`` as (cells, channels, height, width).

    Images stay in the type in which they are stored (uint8, uint16 or floating point) until a minibatch is on the
    device; there they become fractions in [0, 1]. 1 to 30 channels; sides of 16 to 256 pixels, of any ratio.

    Parameters
    ----------
    key
        ``.obsm`` key of the images.
    channels
        Names of the channels to use, among ``.uns["channels"]``; all by default. Without names there, channels are
        called ``"channel 0"`` and so on.
    scale
        What becomes 0 and 1: ``"dtype"``, the range of the type (floating-point images must lie in [0, 1]);
        ``"percentile"``, for each channel, the ``percentiles`` of the training cells, which keeps differences between
        cells; ``"cell"``, for each channel of each cell, its darkest and its brightest pixel, which removes them.
    percentiles
        See ``scale``.
    likelihood
        ``"gaussian"`` (one residual variance per channel) or ``"bernoulli"`` (cross-entropy on intensities).
    mask
        ``.obsm`` key of a foreground mask, (cells, height, width), where pixels that belong to the cell are not
        zero.
    foreground_weight
        How much a pixel of the foreground counts in the likelihood, where one of the background counts 1.
    identity
        Column of ``.obs`` that says what was stained in each cell, where one modality holds cells stained for
        different proteins. Encoder and decoders are modulated by an embedding of it, and ``translate(...,
        identity=...)`` predicts any of them for any cell.
    identities
        What can be stained; found in the data by default.
    measured
        ``.obsm`` key of a table, cells x channels, of which channels were measured in which cell; all by default.
        Other pixels are never looked at.
    reconstruction_weight
        How much a value of an image counts in the losses, against a value of a table. Alignment and the price of a
        nat are set for tables, whose values are mostly noise; of an image nearly all can be told, and at weight 1
        it comes out blurred. It lowers, in proportion, what the Kullback-Leibler term counts: the small weight with
        which :cite:t:`yang2021` got better images.
    structural_similarity
        Weight of an additional term against blur, 1 less the structural similarity of image and reconstruction, per
        value of the image; 0 leaves it out.
    augmentation
        How images are changed in training.
    networks
        How encoder and decoders are built.

    Raises
    ------
    KeyError
        If a slot, channel or column does not exist; the closest name is offered.
    ValueError
        If axes, sizes or intensities are not as stated; the message names the slot and says what to do.

    References
    ----------
    Images in cross-modal autoencoders: :cite:t:`yang2021`; identities as an embedding: :cite:t:`zhang2026`;
    feature-wise modulation: :cite:t:`perez2018`.
    """

    key: str = _keys.IMAGE
    channels: tuple[str, ...] | None = None
    scale: Literal["dtype", "percentile", "cell"] = "dtype"
    percentiles: tuple[float, float] = (0.1, 99.9)
    likelihood: Literal["gaussian", "bernoulli"] = "gaussian"
    mask: str | None = None
    foreground_weight: float = 5.0
    identity: str | None = None
    identities: tuple[str, ...] | None = None
    measured: str | None = None
    reconstruction_weight: float = 10.0
    structural_similarity: float = 0.0
    augmentation: Augmentation = field(default_factory=Augmentation)
    networks: ImageNetworks = field(default_factory=ResidualConvolutions)

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise ValueError(f"Images has scale {self.scale!r}; expected one of {', '.join(map(repr, SCALES))}.")
        if self.likelihood not in ("gaussian", "bernoulli"):
            raise ValueError(f"Images has likelihood {self.likelihood!r}; expected 'gaussian' or 'bernoulli'.")
        if isinstance(self.channels, tuple) and len(set(self.channels)) < len(self.channels):
            raise ValueError(f"Images has channels {self.channels}; expected distinct names.")
        if not 0 <= self.percentiles[0] < self.percentiles[1] <= 100:
            raise ValueError(f"Images has percentiles {self.percentiles}; expected two rising numbers in 0 to 100.")
        for name in ("foreground_weight", "reconstruction_weight", "structural_similarity"):
            if getattr(self, name) < 0:
                raise ValueError(f"Images has {name}={getattr(self, name)}; expected at least 0.")

    def completed(self, adata: AnnData, accessor: str) -> "Images":
        """Name the channels and the identities that the data have, and look at the images, or some of a file's."""
        some = some_in_memory(adata, self.slots, accessor)
        images = image_array(some, self.key, accessor)
        names = channel_names(adata, self.key, images.shape[1], accessor)
        channels = (self.channels,) if isinstance(self.channels, str) else tuple(self.channels or names)
        path = f"{accessor}.obsm[{self.key!r}]"
        positions = channel_positions(channels, names, path)
        measured = self._read_measured(some, names, positions, accessor)
        low, high = check_pixels(images, positions, measured, path, is_unit=self.scale == "dtype")
        if some.n_obs == adata.n_obs:
            check_variation(low, high, channels, path)
        identities = self.identities
        if self.identity is not None and identities is None:
            identities = tuple(sorted(identity_column(adata, self.identity, accessor).unique()))
        self.networks.check((len(channels), *images.shape[2:]), Architecture().n_hidden)
        return replace(self, channels=channels, identities=identities)

    def check_layout(self, adata: AnnData, accessor: str, shape: tuple[int, ...] | None = None) -> None:
        """Refuse arrays that are no images, and images of another size than the model knows."""
        images = image_array(adata, self.key, accessor)
        if shape is not None and images.shape[2:] != tuple(shape[1:]):
            raise ValueError(
                f"{accessor}.obsm[{self.key!r}] has images of {images.shape[2]} x {images.shape[3]} pixels; the model "
                f"was trained on {shape[1]} x {shape[2]}. Crop, pad or rescale them."
            )

    def identity_names(self) -> tuple[str, ...]:
        """Give what can be stained."""
        return self.identities or ()

    def _positions(self, adata: AnnData, accessor: str) -> list[int]:
        names = channel_names(adata, self.key, adata.obsm[self.key].shape[1], accessor)
        asked = tuple(names) if self.channels is None else self.channels
        return channel_positions(asked, names, f"{accessor}.obsm[{self.key!r}]")

    def _read_measured(
        self, adata: AnnData, names: list[str], positions: list[int], accessor: str
    ) -> np.ndarray | None:
        return None if self.measured is None else read_measured(adata, self.measured, names, positions, accessor)

    @property
    def slots(self) -> tuple[str, ...]:
        """Images, and what goes with them."""
        arrays = (self.key, self.mask, self.measured)
        found = tuple(f"obsm/{key}" for key in arrays if key is not None)
        return found if self.identity is None else (*found, f"obs/{self.identity}")

    def feature_names(self, adata: AnnData) -> list[str]:
        """Give the names of the channels that are used."""
        names = channel_names(adata, self.key, adata.obsm[self.key].shape[1], "adata")
        return names if self.channels is None else list(self.channels)

    def shape(self, adata: AnnData) -> tuple[int, ...]:
        """Give channels, height and width."""
        return (len(self.feature_names(adata)), *adata.obsm[self.key].shape[2:])

    def read(self, adata: AnnData, accessor: str, order: np.ndarray | None) -> ImageRows:
        """Copy the chosen channels, in the type in which they are stored, and what goes with them."""
        stored = image_array(adata, self.key, accessor)
        positions = np.asarray(self._positions(adata, accessor))[slice(None) if order is None else order].tolist()
        names = channel_names(adata, self.key, stored.shape[1], accessor)
        measured = self._read_measured(adata, names, positions, accessor)
        path = f"{accessor}.obsm[{self.key!r}]"
        check_pixels(stored, positions, measured, path, is_unit=self.scale == "dtype")
        images = np.take(stored, positions, axis=1)
        if measured is not None:
            images[~measured] = 0
        return ImageRows.from_numpy(
            images,
            mask=None if self.mask is None else read_mask(adata, self.mask, images.shape[2:], accessor),
            measured=measured,
            identity=None
            if self.identity is None
            else read_identity(adata, self.identity, self.identities or (), accessor),
        )

    def coder(
        self, shape: tuple[int, ...], widths: dict[str, int], n_batches: int, architecture: Architecture
    ) -> ImageCoder:
        """Build the networks."""
        return ImageCoder(self, shape, widths, n_batches, architecture)

    def new_anndata(self, values: np.ndarray, obs: pd.DataFrame, state: dict[str, Any]) -> AnnData:
        """Put predicted images into ``.obsm[key]``, and the names of their channels beside them."""
        return AnnData(obs=obs, obsm={self.key: values}, uns={_keys.CHANNELS: list(state["features"])})

    @property
    def predicted_slot(self) -> str:
        """``.obsm`` slot of the images."""
        return f"obsm/{self.key}"

    def own_slot(self, key: str) -> str:
        """``.obsm`` slot beside the images."""
        return f"obsm/{self.key}_{key}"

    def write_own(self, adata: AnnData, key: str, values: np.ndarray, state: dict[str, Any]) -> str:
        """Write predicted images beside the observed ones."""
        adata.obsm[f"{self.key}_{key}"] = values
        return self.own_slot(key)

    def write_foreign(self, adata: AnnData, key: str, values: np.ndarray, state: dict[str, Any]) -> str:
        """Write predicted images into an AnnData that holds another modality."""
        adata.obsm[key] = values
        return self.foreign_slot(key)
