"""How far a fit has come: told to a function, or shown as a bar."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any

from moestat.errors import InputError

#: Called as ``report(stage, done, total)``; a stage ends with done = total, and another may follow.
Report = Callable[[str, int, int], None]


def silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""


class Bar:
    """A progress bar on standard error, one stage after the other; use it as a context manager."""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._bar: Any = None

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self._bar is None:
            from tqdm.auto import tqdm

            self._bar = tqdm(leave=False, **self._options)
        if self._bar.desc != f"{stage}: ":
            self._bar.set_description(stage, refresh=False)
            self._bar.reset(total)
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()


def reporting(progress: Any, unit: str = "start") -> AbstractContextManager[Report]:
    """What ``progress`` asks for, as a context manager that gives a `Report`: nothing, a bar, or a function."""
    if progress is True:
        return Bar(unit=unit)
    if progress is None or progress is False:
        return nullcontext(silent)
    if not callable(progress):
        raise InputError(f"progress must be True, False or a function of (stage, done, total); got {progress!r}.")
    return nullcontext(progress)
