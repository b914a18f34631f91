"""Ctrl-C and SIGTERM: the first one lets running batches finish for a while, the second one does not.

Where batches run in this very process, the one that runs after the grace is left by an exception. It is raised within
the batch and nowhere else: a delivery is never torn in two.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from types import FrameType, TracebackType
from typing import Any

#: Seconds that running batches get.
GRACE = 5.0

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Abandoned(BaseException):
    """Raised within a batch that is not waited for; no error of the batch, so that nobody takes it for one."""


class Interruption:
    """Whether somebody wants the study to stop, from when on, and how urgently; use it as a context manager.

    Parameters
    ----------
    grace : float
        Seconds that running batches get.

    Notes
    -----
    Handlers of signals belong to the main thread; in another one there are none. A signal that was ignored before
    stays ignored, as ``nohup`` wants it.
    """

    def __init__(self, grace: float = GRACE) -> None:
        self._grace, self._asked, self._since = grace, 0, 0.0
        self._before: dict[int, Any] = {}
        self._abandonable = False
        self._timer = 0.0, 0.0

    @property
    def asked(self) -> bool:
        """Whether no batch should be begun any more."""
        return self._asked > 0

    @property
    def over(self) -> bool:
        """Whether running batches should not be waited for either."""
        return self._asked > 1 or (self._asked == 1 and monotonic() - self._since >= self._grace)

    @contextmanager
    def abandonable(self) -> Iterator[None]:
        """Within a ``with`` statement, a batch runs in this thread, which `Abandoned` may leave."""
        self._abandonable = True
        try:
            if self.over:
                raise Abandoned
            yield
        finally:
            self._abandonable = False

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            handlers = {each: signal.getsignal(each) for each in SIGNALS}
            self._before = {each: old for each, old in handlers.items() if old not in (None, signal.SIG_IGN)}
            for each in self._before:
                signal.signal(each, self._on_signal)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for each, old in self._before.items():
            if each == signal.SIGALRM:
                signal.setitimer(signal.ITIMER_REAL, *self._timer)
            signal.signal(each, old)
        self._before = {}

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._asked += 1
        if self._asked == 1:
            self._since = monotonic()
            _say(f"Stopping: running batches get {self._grace:g} s to finish. Once more stops at once.")
            self._set_alarm()
        elif self._asked > 2 and not self._abandonable:
            raise KeyboardInterrupt  # whatever the driver hangs in
        self._leave()

    def _set_alarm(self) -> None:
        """No thread is started from a handler: it might interrupt one that holds the locks that this takes."""
        self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, lambda number, frame: self._leave())
        self._timer = signal.setitimer(signal.ITIMER_REAL, self._grace + 0.01)

    def _leave(self) -> None:
        if self._abandonable and self.over:
            self._abandonable = False
            raise Abandoned


def _say(text: str) -> None:
    """On standard error, beside Python's buffer, which the handler may have interrupted."""
    with suppress(OSError):
        os.write(2, f"\n{text}\n".encode())
