"""Loads and stores of rows that do not overlap, which the compiler is told.

LLVM vectorises a loop over several rows only after checks at run time that none that is written overlaps another, and
it gives up where there are more than a few. `load` and `store` number the rows of a loop: by promise of whoever writes
the loop, a row that is written overlaps none of another number. Then long loops vectorise as well, and what would be
stored between short ones stays in registers. Rows that are only read may share the number 0. Entries without a number
are checked as ever.

The promise is that of `restrict` in C, in LLVM's words: every number is an alias scope, and what carries it is declared
not to alias the others.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core.cgutils import get_item_pointer
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

#: Numbers there are: rows of one loop.
SLOTS = 16


def _tell(module: Any, instruction: Any, slot: int) -> None:
    domain = module.add_metadata(["moestat"])
    scopes = [module.add_metadata([f"row {i}", domain]) for i in range(SLOTS)]
    instruction.set_metadata("alias.scope", module.add_metadata([scopes[slot]]))
    instruction.set_metadata("noalias", module.add_metadata(scopes[:slot] + scopes[slot + 1 :]))


def _entry(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    return get_item_pointer(context, builder, array_type, make_array(array_type)(context, builder, array), [index])


def _number(slot: Any) -> int:
    number = int(slot.literal_value)  # the compiler must know it
    if not 0 <= number < SLOTS:
        raise ValueError(f"a row's number lies between 0 and {SLOTS - 1}; got {number}.")
    return number


@intrinsic(prefer_literal=True)
def load(typing_context: Any, slot: Any, row: Any, j: Any) -> Any:
    """row[j] of a row (B,) that overlaps none that is written under another number; ``slot`` is a literal."""
    number = _number(slot)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = builder.load(_entry(context, builder, signature.args[1], args[1], args[2]))
        _tell(builder.module, value, number)
        return value

    return types.float64(slot, row, types.intp), generate


@intrinsic(prefer_literal=True)
def store(typing_context: Any, slot: Any, row: Any, j: Any, value: Any) -> Any:
    """row[j] = value, under the same promise."""
    number = _number(slot)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        instruction = builder.store(args[3], _entry(context, builder, signature.args[1], args[1], args[2]))
        _tell(builder.module, instruction, number)
        return context.get_dummy_value()

    return types.void(slot, row, types.intp, types.float64), generate
