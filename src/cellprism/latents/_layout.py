"""Which block of the latent space which modality sees."""

from dataclasses import dataclass

from cellprism._keys import SHARED
from cellprism._record import Record


@dataclass(frozen=True)
class Block(Record):
    """A named part of the latent space.

    Parameters
    ----------
    name
        Name of the block; a private block carries the name of its modality.
    width
        Number of dimensions, at least 1.
    modalities
        The modalities that see it.
    """

    name: str
    width: int
    modalities: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"Block {self.name!r} has width {self.width}; expected at least 1. Leave it out instead.")
        if not self.modalities or len(set(self.modalities)) != len(self.modalities):
            raise ValueError(f"Block {self.name!r} has modalities {self.modalities}; expected distinct names.")

    @property
    def is_private(self) -> bool:
        """Whether one modality alone sees the block."""
        return len(self.modalities) == 1


@dataclass(frozen=True)
class LatentLayout(Record):
    """All blocks of a latent space.

    Parameters
    ----------
    blocks
        The blocks, at least one for each modality. The order fixes the order of dimensions.

    Examples
    --------
    >>> LatentLayout.split(["rna", "atac"], n_shared=32, n_private=8).blocks_of("rna")
    ('shared', 'rna')
    """

    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        names = [block.name for block in self.blocks]
        if len(set(names)) != len(names) or not names:
            raise ValueError(f"LatentLayout has blocks {names}; expected one or more with distinct names.")

    @classmethod
    def split(cls, modalities: list[str], *, n_shared: int, n_private: int | dict[str, int]) -> "LatentLayout":
        """One block that all modalities see and one for each alone.

        Parameters
        ----------
        modalities
            Names of the modalities.
        n_shared
            Width of the shared block.
        n_private
            Width of each private block, or one for each modality; 0 leaves it out (the model of
            :cite:t:`yang2021`).
        """
        if SHARED in modalities:
            raise ValueError(f"A modality is named {SHARED!r}, which is the name of the shared block. Rename it.")
        widths = n_private if isinstance(n_private, dict) else dict.fromkeys(modalities, n_private)
        unknown = set(widths) - set(modalities)
        if unknown:
            raise ValueError(f"n_private names {sorted(unknown)}; the modalities are {modalities}.")
        private = tuple(Block(m, widths[m], (m,)) for m in modalities if widths.get(m, 0) != 0)
        return cls((Block(SHARED, n_shared, tuple(modalities)), *private))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the blocks."""
        return tuple(block.name for block in self.blocks)

    def __getitem__(self, name: str) -> Block:
        for block in self.blocks:
            if block.name == name:
                return block
        raise KeyError(f"There is no block {name!r}; the layout has {', '.join(map(repr, self.names))}.")

    def blocks_of(self, modality: str) -> tuple[str, ...]:
        """Blocks that a modality sees."""
        return tuple(block.name for block in self.blocks if modality in block.modalities)

    def shared_of(self, modality: str) -> tuple[str, ...]:
        """Blocks that a modality sees together with another; all of its blocks if it is the only modality."""
        shared = tuple(b.name for b in self.blocks if modality in b.modalities and not b.is_private)
        return shared or self.blocks_of(modality)

    def private_of(self, modality: str) -> tuple[str, ...]:
        """Blocks that a modality sees alone and that its shared-only decoder does without."""
        shared = self.shared_of(modality)
        return tuple(name for name in self.blocks_of(modality) if name not in shared)

    def common(self, first: str, second: str) -> tuple[str, ...]:
        """Blocks that both modalities see."""
        return tuple(b.name for b in self.blocks if first in b.modalities and second in b.modalities)

    def width(self, names: tuple[str, ...]) -> int:
        """Dimensions of several blocks together."""
        return sum(self[name].width for name in names)

    def check(self, modalities: list[str]) -> None:
        """Refuse a layout that does not fit the modalities."""
        named = {m for block in self.blocks for m in block.modalities}
        if named != set(modalities):
            raise ValueError(
                f"The layout speaks of the modalities {sorted(named)}; the data have {sorted(modalities)}. "
                "Give each modality at least one block and name no other."
            )
