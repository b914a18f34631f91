"""No damaged byte passes for a result: it is found, or it lay where nothing is kept. What is left is saved."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from moestat.errors import InputError, MoestatError
from moestat.montecarlo.store import Store, repair, verify
from moestat.montecarlo.store.connection import connect
from tests.unit.montecarlo.store.studies import CELLS, STUDY, VERSIONS, cell, digest_of, fill, filled

REPLICATIONS = range(60)

#: A cell whose rows are too long for one page is among them.
WIDE = cell(10, "wide", columns=tuple(f"c{i}" for i in range(700)))
KNOWN = (*CELLS, WIDE)

QUESTIONS = {
    "digest": lambda store: store.results_digest(),
    "counts": lambda store: store.counts(),
    "missing": lambda store: {key: found.tolist() for key, found in store.missing(KNOWN, range(70)).items()},
    "frame": lambda store: store.frame(),
    "timings": lambda store: store.timings(),
    "cells": lambda store: store.cells(),
    "studies": lambda store: store.studies(),
    "versions": lambda store: store.versions(),
    "batches": lambda store: [contents(*one) for one in store.batches()],
}


def contents(finished, ended):
    rows = [row.digest for row in finished.rows]
    return rows, finished.seconds.tolist(), finished.host, finished.versions, ended


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return filled(tmp_path_factory.mktemp("whole") / "store", KNOWN, REPLICATIONS, size=9)


@pytest.fixture(scope="module")
def answers(whole):
    with Store.open(whole, read_only=True) as store:
        return {name: ask(store) for name, ask in QUESTIONS.items()}


def same(a, b):
    return a.equals(b) if isinstance(a, pd.DataFrame) else a == b


def unharmed(path, answers):
    """Whether a store is sound by its own account; whatever it answers must be true, sound or not.

    Only errors of ours are allowed, and a store that calls itself sound must answer everything.
    """
    try:
        clean = verify(path).clean
    except MoestatError:
        clean = False
    try:
        store = Store.open(path, read_only=True)
    except MoestatError:
        assert not clean
        return False
    with store:
        for name, ask in QUESTIONS.items():
            try:
                found = ask(store)
            except MoestatError:
                assert not clean, name
                continue
            assert same(found, answers[name]), name
    return clean


def flipped(data, random):
    at = int(random.integers(8 * len(data)))
    changed = bytearray(data)
    changed[at // 8] ^= 1 << at % 8
    return bytes(changed)


def truncated(data, random):
    return data[: int(random.integers(len(data)))]


def run_again(path):
    """What a next run does; returns the digest of the results."""
    with Store.open_or_create(path, STUDY, KNOWN) as store:
        fill(store, KNOWN, REPLICATIONS, 9)
        return store.results_digest()


def repaired(path):
    """What was repaired; None where nothing is left of the store."""
    try:
        return repair(path)
    except InputError as error:
        if "nothing in it is of a store" not in str(error):
            raise
        return None


def ordeal(harm, number, whole, answers, path, seed):
    """Harm a store anew each time; returns how often it was found, harmless, and beyond saving."""
    data, random = whole.read_bytes(), np.random.default_rng(seed)
    found = harmless = lost = 0
    for _ in range(number):
        for old in path.parent.iterdir():
            old.unlink()
        path.write_bytes(harm(data, random))
        if unharmed(path, answers):
            harmless += 1
            continue
        found += 1
        done = repaired(path)
        if done is None:
            lost += 1
            continue
        assert done.backup is not None
        assert verify(path).clean
        assert run_again(path) == answers["digest"]
        assert verify(path).clean
    return found, harmless, lost


@pytest.mark.parametrize(
    ("flips", "cuts"), [(60, 20), pytest.param(1000, 200, marks=[pytest.mark.slow, pytest.mark.timeout(3000)])]
)
def test_nothing_is_silently_wrong(whole, answers, tmp_path, flips, cuts):
    by_flips = ordeal(flipped, flips, whole, answers, tmp_path / "store", seed=flips)
    by_cuts = ordeal(truncated, cuts, whole, answers, tmp_path / "store", seed=cuts)
    print(f"found, harmless, beyond saving: flips {by_flips}, truncations {by_cuts}")
    assert by_flips[0] > 0.6 * flips
    assert by_flips[2] == 0
    assert by_cuts[0] == cuts


def change(path, statement, *values):
    connection = connect(path, "mode=rw")
    connection.execute(statement, values)
    connection.close()


@pytest.mark.parametrize(
    ("statement", "where"),
    [
        (
            "UPDATE rows SET outcome = 'ok' WHERE id = (SELECT max(id) - 2 FROM rows)",
            "cell wide/mle/n=10, replication 57",
        ),
        (
            "UPDATE rows SET id = id + 1000 WHERE id = (SELECT max(id) FROM rows)",
            "cell wide/mle/n=10, replication 1059",
        ),
        ("DELETE FROM rows WHERE id = (SELECT min(id) FROM rows)", "batch"),
        ("DELETE FROM entries WHERE id = 3", "batch 4"),
        ("DELETE FROM entries WHERE id = (SELECT max(id) FROM entries)", "batches"),
        ("DELETE FROM timings WHERE id = 3", "timings"),
        ("UPDATE timings SET host = 'there' WHERE id = 3", "timings"),
        ("UPDATE texts SET body = replace(body, '7', '8') WHERE kind = 'study'", "texts"),
        ("UPDATE spare SET body = replace(body, '7', '8') WHERE kind = 'study'", "second copy of texts"),
        ("UPDATE texts SET body = replace(body, '0.64', '0.65') WHERE kind = 'cell'", "texts"),
        ("DELETE FROM tallies WHERE id = 2", "tallies"),
        ("UPDATE tallies SET rows = 5 WHERE id = 2", "tallies"),
        ("DELETE FROM head", "head"),
        ("UPDATE head SET rows = 5", "head"),
    ],
)
def test_what_is_not_as_it_was_written_is_named_and_mended(whole, answers, tmp_path, statement, where):
    path = shutil.copy(whole, tmp_path / "store")
    change(path, statement)
    report = verify(path)
    assert where in {finding.where for finding in report.findings} | {f.where.split(" ")[0] for f in report.findings}
    assert "is damaged" in str(report)
    assert not unharmed(path, answers)
    done = repair(path)
    assert len(done.lost) <= 1
    assert done.kept >= len(KNOWN) * len(REPLICATIONS) - 1
    assert verify(path).clean
    assert run_again(path) == answers["digest"]


def test_exactly_the_bad_rows_are_lost(whole, tmp_path):
    path = shutil.copy(whole, tmp_path / "store")
    change(path, "UPDATE rows SET status = 'x' WHERE id IN (SELECT id FROM rows ORDER BY id LIMIT 3 OFFSET 100)")
    report = verify(path)
    assert [replication for _, replication in report.bad_rows] == [40, 41, 42]
    assert 1 <= len(report.bad_batches) <= 2
    done = repair(path)
    assert done.lost == report.bad_rows
    assert done.unknown == 0
    assert "3 known ones lost" in str(done)
    assert verify(done.backup).bad_rows == report.bad_rows
    with Store.open(path, read_only=True) as store:
        assert sum(found.size for found in store.missing(KNOWN, REPLICATIONS).values()) == 3
        assert list(store.versions()) == [VERSIONS]


def test_rows_of_a_damaged_batch_are_kept_without_versions(whole, tmp_path):
    path = shutil.copy(whole, tmp_path / "store")
    change(path, "UPDATE entries SET versions = versions + 1 WHERE id = 2")
    done = repair(path)
    assert (done.unknown, done.lost) == (9, ())
    assert digest_of(path) == digest_of(whole)
    with Store.open(path, read_only=True) as store:
        assert [n for text, n in store.versions().items() if "unknown" in text] == [9]


def test_repair_leaves_a_sound_store_alone(whole, tmp_path):
    path = shutil.copy(whole, tmp_path / "store")
    done = repair(path)
    assert done.backup is None
    assert "Nothing to repair" in str(done)
    assert path.read_bytes() == whole.read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == ["store"]


@pytest.mark.parametrize("bit", range(8))
def test_a_damaged_version_is_mended_and_another_is_not(whole, tmp_path, bit):
    path = tmp_path / "store"
    data = bytearray(whole.read_bytes())
    data[63] ^= 1 << bit
    path.write_bytes(data)
    assert repair(path).kept == len(KNOWN) * len(REPLICATIONS)
    assert digest_of(path) == digest_of(whole)
    data[63] = {0: 2, 1: 4}.get(bit, 6 | 1 << bit)
    path.write_bytes(data)
    with pytest.raises(InputError, match="has format version"):
        repair(path)
    assert path.read_bytes() == data


def test_repair_of_what_is_no_store(tmp_path):
    path = tmp_path / "letter"
    with pytest.raises(InputError, match="there is no store"):
        repair(path)
    path.write_text("no store " * 5000)
    with pytest.raises(InputError, match="nothing in it is of a store"):
        repair(path)
    assert path.read_text() == "no store " * 5000
    assert [file.name for file in tmp_path.iterdir()] == ["letter"]


def test_pending_batches_are_saved_too(whole, tmp_path):
    """A writer was killed, and the file is damaged besides: what lay in the write-ahead log is not lost."""
    path = tmp_path / "store"
    with Store.create(path, STUDY, KNOWN) as store:
        fill(store, KNOWN, REPLICATIONS, 9)
        left = tmp_path / "left"
        for ending in ("", "-wal"):
            shutil.copy(f"{path}{ending}", f"{left}{ending}")
    assert (tmp_path / "left-wal").stat().st_size
    change(left, "UPDATE head SET rows = 5")
    done = repair(left)
    assert done.kept == len(KNOWN) * len(REPLICATIONS)
    assert digest_of(left) == digest_of(whole)


def test_a_damaged_log_ends_early(whole, tmp_path):
    """A writer was killed, and its log is damaged: batches may be lost from its end, and are then run again."""
    path, random = tmp_path / "store", np.random.default_rng(0)
    with Store.create(path, STUDY, KNOWN) as store:
        fill(store, KNOWN, REPLICATIONS, 9)
        data, log = path.read_bytes(), (tmp_path / "store-wal").read_bytes()
    kept = set()
    for i in range(20):
        path.write_bytes(data)
        (tmp_path / "store-wal").write_bytes((flipped if i < 10 else truncated)(log, random))
        report = verify(path)
        assert report.clean
        kept.add(report.batches)
        assert run_again(path) == digest_of(whole)
    assert len(kept) > 5
