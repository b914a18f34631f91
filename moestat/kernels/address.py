"""Compiled functions by their address.

A function that is handed over as a value would make Numba compile its caller once for each, and keep none of them on
disk; one that is called by its name is compiled again into every caller. An address is a number: one compiled loop
serves every family of experts, and a long chain of functions is compiled link by link. A call costs some nanoseconds.
"""

from __future__ import annotations

from typing import Any, get_type_hints

from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

NUMBER, WHOLE, FLAG = types.float64, types.int64, types.boolean
ROW = types.Array(NUMBER, 1, "C")
ROWS = types.Array(NUMBER, 2, "C")
TILES = types.Array(NUMBER, 3, "C")
FLAGS = types.Array(FLAG, 1, "C")
INDEX = types.Array(WHOLE, 1, "C")
TABLE = types.Array(WHOLE, 2, "C")


def record(cls: type, **fields: Any) -> Any:
    """Numba's type of a named tuple, from the types of its fields in their order."""
    if tuple(fields) != tuple(get_type_hints(cls)):
        raise TypeError(f"{cls.__name__} has the fields {tuple(get_type_hints(cls))}; got {tuple(fields)}.")
    held = tuple(fields.values())
    alike = len(set(held)) == 1
    return types.NamedUniTuple(held[0], len(held), cls) if alike else types.NamedTuple(held, cls)


def address_of(kernel: Any, signature: Any) -> int:
    """Address of a compiled function for these types; the function itself keeps the code alive."""
    compiled = kernel.get_compile_result(signature)
    return int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))


def call_of(signature: Any) -> Any:
    """A call of functions with this signature: ``call(address, (argument, ...))``; other types do not compile."""

    @intrinsic
    def call(typing_context: Any, address: Any, arguments: Any) -> Any:
        if tuple(arguments) != signature.args:
            raise TypingError(f"a function of {signature.args} cannot be called with {tuple(arguments)}.")

        def generate(context: Any, builder: Any, own: Any, values: Any) -> Any:
            convention = context.call_conv
            pointer = convention.get_function_type(signature.return_type, signature.args).as_pointer()
            function = builder.inttoptr(values[0], pointer)
            given = cgutils.unpack_tuple(builder, values[1])
            status, returned = convention.call_function(builder, function, signature.return_type, signature.args, given)
            with cgutils.if_unlikely(builder, status.is_error):  # an exception goes on to the caller
                convention.return_status_propagate(builder, status)
            return returned

        return signature.return_type(WHOLE, arguments), generate

    return call


#: Log densities of a family: settings (s,), predictors (m, B), responses (r, B), offset (B,) and order come in; the log
#: density (B,), its derivatives (m, B) and second ones (m (m + 1) / 2, B) go out, as far as the order asks for them.
LAW = types.void(ROW, ROWS, ROWS, ROW, WHOLE, ROW, ROWS, ROWS)
call_law = call_of(LAW)
