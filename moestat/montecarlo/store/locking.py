"""One writer at a time: a lock of the operating system on a file beside the store, which ends with its process."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from moestat.errors import StoreError
from moestat.montecarlo.store.files import beside

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows has no such locks
    fcntl = None  # type: ignore[assignment]

#: Locks of a process do not exclude itself.
_HELD: set[Path] = set()


class WriterLock:
    """The right to write to a store.

    A record lock is used, which a child by fork does not inherit: where the writer is killed and its workers live on,
    the lock is free at once.

    Parameters
    ----------
    store : Path

    Raises
    ------
    StoreError
        When another has it.
    """

    def __init__(self, store: Path) -> None:
        self._path = beside(store.resolve(), ".lock")
        self._store = store
        if self._path in _HELD:
            raise self._refusal("this process")
        self._file = self._acquired()
        _HELD.add(self._path)
        self._sign()

    def release(self) -> None:
        """Let others write. Safe to call twice."""
        if self._path in _HELD:
            _HELD.discard(self._path)
            with suppress(OSError):  # removed while it is held: `_acquired` sees to those who wait for a removed file
                self._path.unlink()
            self._file.close()

    def _acquired(self) -> Any:
        while True:
            file = open(self._path, "a+")  # noqa: SIM115 - it is open as long as the lock is held
            try:
                if fcntl is not None:
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.seek(0)
                holder = file.read().strip()
                file.close()
                raise self._refusal(holder or "another process") from None
            if self._still_there(file):
                return file
            file.close()

    def _still_there(self, file: Any) -> bool:
        with suppress(OSError):
            return os.path.samestat(os.fstat(file.fileno()), os.stat(self._path))
        return False

    def _sign(self) -> None:
        with suppress(OSError):  # on a full disk the lock holds all the same
            self._file.truncate(0)
            self._file.write(f"process {os.getpid()} on {socket.gethostname()}")
            self._file.flush()

    def _refusal(self, holder: str) -> StoreError:
        return StoreError(
            f"{str(self._store)!r} is being written by {holder}: one writer at a time. "
            "Wait for it or stop it, or write to a store of your own and merge the two."
        )
