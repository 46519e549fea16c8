"""Settings that can be written to a file as plain values and read back without running code from it."""

from dataclasses import fields
from typing import Any, ClassVar, Self

import numpy as np


class Record:
    """A frozen dataclass whose fields are plain values, known by the name of its class.

    Subclasses register themselves when they are defined, so a saved ``{"kind": ..., **fields}`` finds its
    class again, also one that a user wrote, as soon as the module that defines it has been imported.
    """

    _kinds: ClassVar[dict[str, type["Record"]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "kind" in cls.__annotations__:
            raise TypeError(f"{cls.__name__} has a field 'kind', which is the tag of records. Name it otherwise.")
        Record._kinds[cls.__name__] = cls

    def to_plain(self) -> dict[str, Any]:
        """Give the record as ``{"kind": class name, field: value, ...}``."""
        values = {field.name: _to_plain(getattr(self, field.name)) for field in fields(self)}  # type: ignore[arg-type]
        return {"kind": type(self).__name__, **values}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        """Rebuild a record from :meth:`to_plain`.

        Raises
        ------
        ValueError
            If no class of that name is known, or it is not of the kind that was expected.
        """
        values = dict(plain)
        kind = values.pop("kind")
        found = Record._kinds.get(kind)
        if found is None or not issubclass(found, cls):
            raise ValueError(
                f"Found settings of kind {kind!r}, which is not a known {cls.__name__}. "
                "If you defined it yourself, import the module that defines it before loading."
            )
        return found(**{name: _from_plain(value) for name, value in values.items()})


def _to_plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_plain()
    if isinstance(value, dict):
        return {key: _to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _from_plain(value: Any) -> Any:
    if isinstance(value, dict):
        is_record = isinstance(value.get("kind"), str)  # a dictionary of records may have one named "kind"
        return Record.from_plain(value) if is_record else {k: _from_plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return tuple(_from_plain(item) for item in value)
    return value
