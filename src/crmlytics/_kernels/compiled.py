"""How our loops are compiled: once a machine (the cache), without the interpreter's lock (threads).

Modules that import this one import numba, which takes a moment: import them inside the function that needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from numba import njit, types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


def compiled(function: F) -> F:
    """Compile a function on arrays and numbers at its first call; the machine code is kept for the next session."""
    return cast("F", njit(cache=True, nogil=True, error_model="numpy")(function))


def _bits_set(typing_context: Any, word: Any) -> Any:  # noqa: ARG001  numba's signature
    """Count the bits set in a 64-bit word, by the processor's own instruction."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


bits_set = cast("Callable[[Any], int]", intrinsic(_bits_set))
