"""How far a study has come: a bar on a terminal, a line now and then elsewhere, or what a function makes of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Any

from moestat.errors import InputError

#: Seconds between two lines.
PAUSE = 10.0

#: What a bar shows; the time left is ours, as sizes differ in cost.
FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} rows [{elapsed}{postfix}]"

#: Seconds between two states of a bar.
BLINK = 0.1


@dataclass(frozen=True)
class Standing:
    """How far a study has come.

    Parameters
    ----------
    done, total : int
        Rows.
    seconds : float
        Since the beginning.
    seconds_left : float or None
        To the end, by what batches of each sample size take; None as long as that is not known.
    """

    done: int
    total: int
    seconds: float
    seconds_left: float | None

    @property
    def rate(self) -> float:
        """Rows in a second."""
        return self.done / self.seconds if self.seconds > 0.0 else 0.0

    def __str__(self) -> str:
        share = 100 * self.done // self.total if self.total else 100
        left = "" if self.seconds_left is None or self.done == self.total else f", {span(self.seconds_left)} left"
        return f"{self.done:,} of {self.total:,} rows ({share} %), {self.rate:.3g} per second{left}"


Report = Callable[[Standing], None]


def span(seconds: float) -> str:
    """Seconds in the unit that suits them: ``12 s``, ``3 min``, ``5.5 h``."""
    if seconds < 90.0:
        return f"{seconds:.0f} s"
    return f"{seconds / 60.0:.0f} min" if seconds < 5400.0 else f"{seconds / 3600.0:.1f} h"


class Bar:
    """A progress bar on standard error."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._due = 0.0

    def __call__(self, standing: Standing) -> None:
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(
                total=standing.total,
                unit="row",
                bar_format=FORMAT,
            )
        self._bar.n = standing.done
        left = "" if standing.seconds_left is None else f", {span(standing.seconds_left)} left"
        self._bar.set_postfix_str(f"{standing.rate:.3g} rows/s{left}", refresh=False)
        if monotonic() >= self._due:
            self._due = monotonic() + BLINK
            self._bar.refresh()

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.refresh()
            self._bar.close()


class Lines:
    """Lines on standard error, with pauses, and one at the end."""

    def __init__(self, pause: float = PAUSE) -> None:
        self._pause, self._last, self._due = pause, "", monotonic() + pause
        self._standing: Standing | None = None

    def __call__(self, standing: Standing) -> None:
        self._standing = standing
        if monotonic() >= self._due:
            self._due = monotonic() + self._pause
            self._print()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._print()

    def _print(self) -> None:
        line = str(self._standing or "")
        if line != self._last:
            print(line, file=sys.stderr, flush=True)
        self._last = line


def reporting(progress: Any) -> AbstractContextManager[Report]:
    """What ``progress`` asks for, as a context manager that gives a `Report`.

    Raises
    ------
    InputError
        When it is neither True, False, None nor a function.
    """
    if progress is True:
        return Bar() if sys.stderr is not None and sys.stderr.isatty() else Lines()
    if progress is None or progress is False:
        return nullcontext(lambda standing: None)
    if not callable(progress):
        raise InputError(f"progress must be True, False or a function of a Standing; got {progress!r}.")
    return nullcontext(progress)
