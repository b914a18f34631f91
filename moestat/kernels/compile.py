"""The one set of compiler options."""

from __future__ import annotations

from typing import Any

import numba

# "nnan" and "ninf" stay off: a gate that switches an expert off has a logit of -inf.
FASTMATH = frozenset({"contract", "reassoc", "nsz", "arcp"})

jit: Any = numba.njit(fastmath=set(FASTMATH), error_model="numpy", nogil=True, cache=True)
jit_exact: Any = numba.njit(fastmath={"contract"}, error_model="numpy", nogil=True, cache=True)
