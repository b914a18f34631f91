"""The tables of a store, all SQL that is spoken to them, and how a row's number is made.

A row's number holds its cell in the upper half and its replication in the lower one. So rows lie in the file cell by
cell in the order of their replications, no row can be there twice, and no index beside the table can disagree with it.

Nothing is ever changed or deleted but the head and the tallies; a row that bears its digest is good wherever in the
file it is found.
"""

from __future__ import annotations

#: What SQLite keeps in the file's header: ours ("moes"), and the version of these tables. Two versions differ in two
#: bits at least (1, 2, 4, 7, 8, ...): so a damaged one is told from another one.
APPLICATION_ID = 0x6D6F6573
FORMAT_VERSION = 1

#: A damaged page costs the rows that lie in it, about a dozen; `salvage` relies on this size.
PAGE_SIZE = 4096

#: Bits of a row's number that hold its replication; cells are numbered in the bits above.
REPLICATION_BITS = 32
MASK = (1 << REPLICATION_BITS) - 1

CREATE = """
CREATE TABLE head (id INTEGER PRIMARY KEY, entries INTEGER, rows INTEGER, texts INTEGER, chain BLOB, tallies BLOB,
                   digest BLOB);
CREATE TABLE texts (id INTEGER PRIMARY KEY, kind TEXT, body TEXT, digest BLOB);
CREATE TABLE spare (id INTEGER PRIMARY KEY, kind TEXT, body TEXT, digest BLOB);
CREATE TABLE tallies (id INTEGER PRIMARY KEY, rows INTEGER, outcomes TEXT, total BLOB, digest BLOB);
CREATE TABLE rows (id INTEGER PRIMARY KEY, outcome TEXT, status TEXT, numbers BLOB, words TEXT, digest BLOB);
CREATE TABLE entries (id INTEGER PRIMARY KEY, versions INTEGER, keys BLOB, content BLOB, previous BLOB, digest BLOB);
CREATE TABLE timings (id INTEGER PRIMARY KEY, host TEXT, finished REAL, seconds BLOB, digest BLOB);
"""

IDENTIFY = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT_VERSION};"

HEAD = "SELECT * FROM head WHERE id = 1"
TEXTS = "SELECT * FROM texts ORDER BY id"
SPARE = "SELECT * FROM spare ORDER BY id"
TALLY = "SELECT * FROM tallies WHERE id = ?"
TALLIES = "SELECT * FROM tallies ORDER BY id"
ENTRIES = "SELECT * FROM entries ORDER BY id"
TIMINGS = "SELECT * FROM timings ORDER BY id"
TIMING = "SELECT * FROM timings WHERE id = ?"
ROW = "SELECT * FROM rows WHERE id = ?"
ROWS = "SELECT * FROM rows WHERE id BETWEEN ? AND ? ORDER BY id"
THERE = "SELECT id FROM rows WHERE id = ?"
HOW_MANY = "SELECT count(*) FROM rows"

PUT_HEAD = "INSERT OR REPLACE INTO head VALUES (?, ?, ?, ?, ?, ?, ?)"
PUT_TEXT = ("INSERT INTO texts VALUES (?, ?, ?, ?)", "INSERT INTO spare VALUES (?, ?, ?, ?)")
PUT_TALLY = "INSERT OR REPLACE INTO tallies VALUES (?, ?, ?, ?, ?)"
PUT_ROW = "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?)"
PUT_ENTRY = "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)"
PUT_TIMING = "INSERT INTO timings VALUES (?, ?, ?, ?, ?)"


def row_number(cell: int, replication: int) -> int:
    """Number of the row of a replication of a cell."""
    return (cell << REPLICATION_BITS) | replication


def bounds(cell: int) -> tuple[int, int]:
    """First and last number that a row of a cell can have."""
    return row_number(cell, 0), row_number(cell, MASK)
