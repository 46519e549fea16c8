"""Networks by any name: torch's own ModuleDict refuses dots and names such as 'train'."""

from collections.abc import Iterator, Mapping

from torch import nn


class NamedModules(nn.Module, Mapping[str, nn.Module]):
    """An ordered mapping from any string to a network.

    Parameters
    ----------
    modules
        The networks by name.
    """

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.names = list(modules)
        self.list = nn.ModuleList(modules.values())

    def __getitem__(self, name: str) -> nn.Module:
        return self.list[self.names.index(name)] if name in self.names else self._missing(name)

    def _missing(self, name: str) -> nn.Module:
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other
