"""Check types and shapes with beartype, where it can know them."""

from collections.abc import Callable
from typing import Any, ForwardRef, Self, get_args

from beartype import BeartypeConf, beartype

_with_int_as_float = beartype(conf=BeartypeConf(is_pep484_tower=True))


def checked(function: Callable) -> Callable:
    """Check a function's types as annotated.

    ``Self``, names that are imported for type checkers only, and protocols mean nothing to beartype on a function
    alone: they are left unchecked.
    """
    function.__annotations__ = {
        name: Any if _is_unknown(hint) else hint for name, hint in function.__annotations__.items()
    }
    return _with_int_as_float(function)


def _is_unknown(hint: Any) -> bool:
    is_protocol = getattr(hint, "_is_protocol", False) and not getattr(hint, "_is_runtime_protocol", False)
    if hint is Self or isinstance(hint, str | ForwardRef) or is_protocol:
        return True
    return any(_is_unknown(part) for part in _parts(hint))


def _parts(hint: Any) -> tuple:
    parts = get_args(hint)
    is_literal = "Literal" in str(getattr(hint, "__origin__", ""))
    return () if is_literal else tuple(part for part in parts if not isinstance(part, list))
