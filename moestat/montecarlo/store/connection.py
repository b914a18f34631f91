"""Opening the SQLite file: who may, in which journal mode, and what is said when it does not work."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from moestat.errors import DamagedStoreError, InputError, MoestatError, StoreError
from moestat.montecarlo.store import schema
from moestat.montecarlo.store.files import beside

Journal = Literal["auto", "wal", "delete"]

#: Seconds to wait for a reader that is in the way.
PATIENCE = 30.0

MAGIC = b"SQLite format 3\0"

REPAIR = "`moestat study verify` tells what is damaged, `moestat study repair` saves the rest."


class FormatError(InputError):
    """A store has another format.

    Parameters
    ----------
    version : int
    text : str
    """

    def __init__(self, version: int, text: str) -> None:
        super().__init__(text)
        self.damaged = (version ^ schema.FORMAT_VERSION).bit_count() == 1


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Errors of SQLite and of the operating system become ours, which name the file and say what to do."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise translated(path, error) from error


def translated(path: Path, error: Exception) -> MoestatError:
    """Our error for one of SQLite's or of the operating system's."""
    name, code = repr(str(path)), getattr(error, "sqlite_errorcode", -1)
    match code & 0xFF if code >= 0 else code:
        case sqlite3.SQLITE_FULL:
            cause = "there is no space left on the disk"
        case sqlite3.SQLITE_IOERR:
            cause = "the disk did not take or give the data"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            cause = "the file or its folder is read-only"
        case sqlite3.SQLITE_CANTOPEN:
            cause = "the file or its folder cannot be opened for this"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            cause = "another process holds the file"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_ERROR | sqlite3.SQLITE_MISMATCH:
            return DamagedStoreError(f"{name} is damaged ({error}). {REPAIR}")
        case _ if isinstance(error, sqlite3.ProgrammingError):
            return StoreError(f"{name}: {error} Open the store again.")
        case _ if isinstance(error, OSError):
            cause = error.strerror or "the operating system refuses"
        case _:
            return DamagedStoreError(f"{name} cannot be read ({error}). {REPAIR}")
    return StoreError(
        f"{name}: {cause} ({error}). All batches that were committed are intact; when that is mended, give the same "
        "command again, and it goes on where it stopped."
    )


def looked_at(path: Path) -> None:
    """Refuse what is no store before SQLite is asked.

    Raises
    ------
    InputError
        When there is no file, or it is none of SQLite's.
    """
    if not path.exists():
        raise InputError(f"path: there is no store {str(path)!r}. `moestat study run` makes one.")
    if not path.is_file():
        raise InputError(f"path must be a file; {str(path)!r} is not.")
    with guarded(path), path.open("rb") as file:
        start = file.read(len(MAGIC))
    if start != MAGIC:
        raise InputError(f"{str(path)!r} is not a store of a study, or its first bytes are damaged. {REPAIR}")


def connected(path: Path, read_only: bool) -> sqlite3.Connection:
    """A connection to a store that exists.

    Raises
    ------
    InputError
        When the file is missing, no store, or of a newer format.
    StoreError
        When it cannot be opened.
    """
    looked_at(path)
    with guarded(path):
        connection = _opened(path, read_only)
        try:
            _identify(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def connect(path: Path, query: str) -> sqlite3.Connection:
    """A bare connection. Texts are read as bytes: a damaged one need not be a text."""
    uri = f"{path.absolute().as_uri()}?{query}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=PATIENCE, check_same_thread=False)
    connection.text_factory = bytes
    return connection


def _opened(path: Path, read_only: bool) -> sqlite3.Connection:
    """A connection that has read the header.

    A store that was left in the write-ahead mode needs files beside it even to be read. Where its folder is read-only
    and nothing is pending it is read as a file that nobody changes.
    """
    connection = connect(path, "mode=ro" if read_only else "mode=rw")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        wal = beside(path, "-wal")
        blocked = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
        if not (read_only and blocked) or (wal.exists() and wal.stat().st_size):
            raise
        return connect(path, "mode=ro&immutable=1")
    return connection


def _identify(connection: sqlite3.Connection, path: Path) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != schema.APPLICATION_ID:
        raise InputError(f"{str(path)!r} is a database, but not a store of a study. {REPAIR}")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != schema.FORMAT_VERSION:
        raise FormatError(
            version,
            f"{str(path)!r} has format version {version}; this moestat reads {schema.FORMAT_VERSION}. "
            "Use the moestat that wrote it, or a newer one.",
        )


def prepare_to_write(connection: sqlite3.Connection, journal: Journal) -> None:
    """Every commit reaches the disk before it returns.

    Write-ahead logging is three times as fast, and others can read meanwhile. On a file system where it does not work,
    such as one shared over a network, the rollback journal serves.
    """
    mode = "wal"
    if journal != "delete":
        with suppress(sqlite3.OperationalError):
            (found,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            mode = found.decode()
    if journal == "delete" or mode != "wal":
        connection.execute("PRAGMA journal_mode = DELETE").fetchone()
    connection.execute("PRAGMA synchronous = FULL")


def gather(connection: sqlite3.Connection) -> None:
    """Bring what is written ahead into the file, as far as readers let us; both go on to be there."""
    with suppress(sqlite3.Error):
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def fold(connection: sqlite3.Connection) -> None:
    """Make one file of the store again, as far as readers let us; without it nothing is lost."""
    with suppress(sqlite3.Error):
        connection.execute("PRAGMA busy_timeout = 0")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        connection.execute("PRAGMA journal_mode = DELETE").fetchone()


@contextmanager
def transaction(connection: sqlite3.Connection, path: Path, write: bool = False) -> Iterator[None]:
    """All or nothing; a reader sees one state throughout. A transaction within another is part of it."""
    with guarded(path):
        if connection.in_transaction:
            yield
            return
        connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # a full disk has rolled back by itself
                connection.execute("ROLLBACK")
            raise
