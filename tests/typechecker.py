"""Check types and shapes with beartype, where it can know them."""

from collections.abc import Callable
from typing import Any, ForwardRef, Literal, Self, get_args, get_origin

from beartype import BeartypeConf, beartype

_with_int_as_float = beartype(conf=BeartypeConf(is_pep484_tower=True))


def checked(function: Callable) -> Callable:
    """Check a function's types as annotated.

    ``Self``, names that are imported for type checkers only, and protocols mean nothing to beartype on a function
    alone: they are left unchecked. So are literals, since the code itself refuses wrong ones, with a message.
    """
    function.__annotations__ = {
        name: Any if _is_unknown(hint) else hint for name, hint in function.__annotations__.items()
    }
    return _with_int_as_float(function)


def _is_unknown(hint: Any) -> bool:
    is_protocol = getattr(hint, "_is_protocol", False) and not getattr(hint, "_is_runtime_protocol", False)
    if hint is Self or isinstance(hint, str | ForwardRef) or is_protocol or get_origin(hint) is Literal:
        return True
    return any(_is_unknown(part) for part in get_args(hint) if not isinstance(part, list))
