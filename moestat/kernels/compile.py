"""The one set of compiler options, and where compiled code is kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numba
from platformdirs import user_cache_path

# "nnan" and "ninf" stay off: a gate that switches an expert off has a logit of -inf.
FASTMATH = frozenset({"contract", "reassoc", "nsz", "arcp"})


@cache
def cache_folder() -> Path:
    """Folder of compiled code for the present kernel sources.

    Numba recompiles a function when its own file changes, but not when a function that it calls does;
    the digest of all kernel sources in the folder's name closes that gap.
    """
    digest = blake2b(numba.__version__.encode(), digest_size=8)
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return user_cache_path("moestat", appauthor=False) / f"kernels-{digest.hexdigest()}"


def _compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    def decorate(function: Callable[..., Any]) -> Any:
        kept = numba.config.CACHE_DIR
        if not kept:  # a folder that the user chose is respected
            numba.config.CACHE_DIR = str(cache_folder())
        try:
            return numba.njit(error_model="numpy", nogil=True, cache=True, **options)(function)
        except RuntimeError:  # a function typed at a prompt has no file to be cached by
            return numba.njit(error_model="numpy", nogil=True, **options)(function)
        finally:
            numba.config.CACHE_DIR = kept

    return decorate


#: Compile a kernel: fast arithmetic that keeps infinities and NaN, no GIL, kept on disk.
jit: Any = _compiled(fastmath=set(FASTMATH))

#: The same without reassociation, for code whose rounding is part of its meaning.
jit_exact: Any = _compiled(fastmath={"contract"})

#: The same for functions of a scalar that are too long to be put into the loops that call them without being told.
jit_inline: Any = _compiled(fastmath={"contract"}, forceinline=True)
