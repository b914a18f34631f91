"""The one set of compiler options, and where compiled code is kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

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


#: All kernels that have been imported, compiled or not, in the order of their definition.
KERNELS: list[Any] = []


class Tally(NamedTuple):
    """How often this process has compiled a kernel for some types of arguments, and how often found it compiled."""

    compiled: int
    loaded: int


def tally() -> Tally:
    """The counts of all kernels so far."""
    stats = [kernel.stats for kernel in KERNELS]
    return Tally(sum(s.cache_misses.total() for s in stats), sum(s.cache_hits.total() for s in stats))


def kept_in() -> Path:
    """The folder of compiled code: `cache_folder`, unless ``NUMBA_CACHE_DIR`` names another."""
    return Path(numba.config.CACHE_DIR) if numba.config.CACHE_DIR else cache_folder()


def _compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    def decorate(function: Callable[..., Any]) -> Any:
        kernel = _dispatcher(function, **options)
        KERNELS.append(kernel)
        return kernel

    return decorate


def _dispatcher(function: Callable[..., Any], **options: Any) -> Any:
    kept = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(kept_in())
    try:
        return numba.njit(error_model="numpy", nogil=True, cache=True, **options)(function)
    except RuntimeError:  # a function typed at a prompt has no file to be cached by
        return numba.njit(error_model="numpy", nogil=True, **options)(function)
    finally:
        numba.config.CACHE_DIR = kept


#: Compile a kernel: fast arithmetic that keeps infinities and NaN, no GIL, kept on disk.
jit: Any = _compiled(fastmath=set(FASTMATH))

#: The same without reassociation, for code whose rounding is part of its meaning.
jit_exact: Any = _compiled(fastmath={"contract"})

#: The same for functions of a scalar that are too long to be put into the loops that call them without being told.
jit_inline: Any = _compiled(fastmath={"contract"}, forceinline=True)
