"""Names of files beside a store, and making them last."""

from __future__ import annotations

import os
from pathlib import Path

#: Files that SQLite keeps beside its own.
BESIDE = ("-wal", "-journal", "-shm")


def beside(path: Path, ending: str) -> Path:
    """The file of another purpose that bears a store's name."""
    return path.with_name(path.name + ending)


def unfinished(path: Path) -> Path:
    """Where a file is written before it takes its name."""
    return path.with_name(f".{path.name}.new-{os.getpid()}")


def settle(raw: Path, path: Path) -> None:
    """Give a finished file its name: afterwards either the old file is there or the whole new one, whatever happens."""
    with raw.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(raw, path)
    sync_folder(path)


def sync_folder(path: Path) -> None:
    """Make a name that was just given to a file survive a loss of power."""
    folder = os.open(path.absolute().parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
