"""What goes into a store comes out of it, once, and only whole batches."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from moestat.errors import DamagedStoreError, InputError, MoestatError, StoreError
from moestat.montecarlo.rows import Row
from moestat.montecarlo.store import Store, schema, verify
from moestat.montecarlo.store.connection import connect, prepare_to_write
from moestat.montecarlo.store.digests import row_digests
from tests.unit.montecarlo.store.studies import (
    CELLS,
    COLUMNS,
    STUDY,
    VERSIONS,
    batch,
    cell,
    digest_of,
    fill,
    filled,
    row,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a store #1?.sqlite"


def test_rows_come_back_bit_by_bit(path):
    filled(path, replications=range(50))
    with Store.open(path, read_only=True) as store:
        assert [c.label for c in store.cells()] == ["K2/mle/n=100", "K2/mle/n=1000", "K3/mle/n=100", "K3/mle/n=1000"]
        for one in CELLS:
            found, made = store.rows(one), [row(one, r) for r in range(50)]
            assert found.replications.tolist() == list(range(50))
            assert found.numbers.tobytes() == np.array([r.numbers for r in made]).tobytes()
            assert found.words == tuple(r.words for r in made)
            assert found.outcomes.tolist() == [r.outcome for r in made]
            assert found.statuses.tolist() == [r.status for r in made]
            assert found.digests == tuple(r.digest for r in made)


def test_the_digest_of_a_raw_row_is_the_row_s():
    made = [row(CELLS[0], r) for r in range(40)]
    raw = []
    for r in made:
        outcome, status, words = (text.encode() for text in (r.outcome, r.status, r.words))
        raw.append((schema.row_number(3, r.replication), outcome, status, r.numbers.tobytes(), words, b""))
    assert row_digests(CELLS[0].digest, raw) == [r.digest for r in made]


def test_counts_by_outcome_and_status(path):
    filled(path, replications=range(50))
    expected = Counter((r.outcome, r.status) for r in (row(CELLS[0], i) for i in range(50)))
    with Store.open(path) as store:
        assert store.counts() == {one.digest: expected for one in store.cells()}


def test_a_table_of_everything(path):
    wide = cell(10, "K9", columns=("loss", "gain"))
    filled(path, cells=(*CELLS, wide), replications=range(8))
    with Store.open(path, read_only=True) as store:
        found = store.frame()
        some = store.frame([wide])
    assert list(found) == ["fit", "protocol", "n", "replication", "outcome", "status", *COLUMNS, "gain", "words"]
    assert len(found) == 40
    assert found["gain"].notna().sum() <= 8
    assert some["loss"].to_numpy().tobytes() == np.array([row(wide, r).numbers[0] for r in range(8)]).tobytes()
    assert list(some) == ["fit", "protocol", "n", "replication", "outcome", "status", "loss", "gain", "words"]


def test_only_what_is_missing_is_asked_for(path):
    filled(path, replications=range(3, 9))
    new = cell(10)
    with Store.open(path) as store:
        found = store.missing([CELLS[0], new], [9, 8, 2, 5, 2])
        assert {key: value.tolist() for key, value in found.items()} == {
            CELLS[0].digest: [2, 9],
            new.digest: [2, 5, 8, 9],
        }


def test_results_have_one_digest_whatever_their_order(tmp_path):
    rows = [row(one, r) for one in CELLS for r in range(12)]
    digests = set()
    for i, size in enumerate((1, 5, 48)):
        with Store.create(tmp_path / f"{i}", STUDY, CELLS[:: -1 if i else 1]) as store:
            shuffled = [rows[j] for j in np.random.default_rng(i).permutation(len(rows))]
            for start in range(0, len(rows), size):
                store.append(batch(shuffled[start : start + size], f"version {i}", host=f"host {i}"))
            digests.add(store.results_digest())
        assert verify(tmp_path / f"{i}").clean
    assert len(digests) == 1


@pytest.mark.parametrize(
    "change", [{"replication": 4}, {"status": "other"}, {"words": "?"}, {"outcome": "error"}, {"numbers": np.zeros(3)}]
)
def test_every_part_of_a_row_is_in_the_digest(tmp_path, change):
    found = []
    for name, changes in (("a", {}), ("b", change)):
        with Store.create(tmp_path / name, STUDY, CELLS) as store:
            store.append(batch([dataclasses.replace(row(CELLS[0], 1), **changes)]))
            found.append(store.results_digest())
    assert found[0] != found[1]


def test_timings_and_versions_are_kept_beside_the_results(path):
    with Store.create(path, STUDY, CELLS) as store:
        store.append(batch([row(CELLS[1], 1), row(CELLS[0], 0)], "one", "alpha"), ended=5.0)
        store.append(batch([row(CELLS[1], 0)], "two", "beta"))
        assert store.versions() == {"one": 2, "two": 1}
        found = store.timings()
        assert store.append(batch([row(CELLS[2], 0)], "one")) is None
        assert store.versions() == {"one": 3, "two": 1}
    assert found["host"].tolist() == ["alpha", "alpha", "beta"]
    assert found["finished"].tolist()[:2] == [5.0, 5.0]
    first = found[(found["fit"] == CELLS[1].fit) & (found["replication"] == 1)]
    assert first["seconds"].tolist() == [1.0]  # it was the first of its batch
    assert found["seconds"].sum() == 4.0


def test_batches_come_back_as_they_went_in(path):
    with Store.create(path, STUDY, CELLS) as store:
        store.append(batch([row(CELLS[1], 1), row(CELLS[0], 0)], "one", "alpha"), ended=5.0)
        ((found, ended),) = store.batches()
    assert ended == 5.0
    assert (found.host, found.versions) == ("alpha", "one")
    seconds = {r.digest: s for r, s in zip(found.rows, found.seconds, strict=True)}
    assert seconds == {row(CELLS[1], 1).digest: 1.0, row(CELLS[0], 0).digest: 2.0}


def test_versions_of_the_study_are_kept(path):
    with Store.create(path, "first", CELLS) as store:
        store.register("first", CELLS)
        store.register("second", CELLS[:2])
        assert [study.text for study in store.studies()] == ["first", "second"]
        assert store.study == "second"
        assert len(store.cells()) == 4
    assert verify(path).clean


def test_a_row_is_taken_once(path):
    filled(path)
    before = digest_of(path)
    with Store.open(path) as store:
        with pytest.raises(InputError, match=r"replication 3 of the cell K2/mle/n=100 is in the store already"):
            store.append(batch([row(CELLS[0], 100), row(CELLS[0], 3)]))
        with pytest.raises(InputError, match="in the store already"):
            store.append(batch([row(CELLS[0], 100), row(CELLS[0], 100)]))
        assert store.missing(CELLS[:1], [100])[CELLS[0].digest].tolist() == [100]
    assert digest_of(path) == before
    assert verify(path).clean


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"cell": "00"}, "no cell has the digest '00'"),
        ({"numbers": np.zeros(2)}, r"3 columns; replication 0 has numbers of shape \(2,\)"),
        ({"replication": -1}, "count from 0"),
        ({"replication": 2**32}, "count from 0"),
        ({"outcome": "fine"}, "got 'fine'"),
        ({"words": "\ud800"}, "UTF-8"),
    ],
)
def test_rows_that_do_not_fit_are_refused(path, wrong, text):
    with Store.create(path, STUDY, CELLS) as store:
        with pytest.raises(InputError, match=text):
            store.append(batch([dataclasses.replace(row(CELLS[0], 0), **wrong)]))
        with pytest.raises(InputError, match="must have rows"):
            store.append(batch([]))
        store.append(batch([row(CELLS[0], 0)]))
    assert verify(path).rows == 1


def test_texts_of_versions_that_were_not_written_are_forgotten(path):
    """A batch that is refused takes its new versions with it, in memory too."""
    with Store.create(path, STUDY, CELLS) as store:
        store.append(batch([row(CELLS[0], 0)], "one"))
        with pytest.raises(InputError):
            store.append(batch([row(CELLS[0], 0)], "two"))
        store.append(batch([row(CELLS[0], 1)], "two"))
        assert store.versions() == {"one": 1, "two": 1}
    assert verify(path).clean


# Who may, and what is said ------------------------------------------------------------


def test_the_rest_is_run_after_a_stop(path):
    filled(path, replications=range(7))
    with Store.open_or_create(path, STUDY, (*CELLS, cell(10))) as store:
        fill(store, (*CELLS, cell(10)), range(12))
        assert store.results_digest() == digest_of(filled(path.with_name("at once"), (*CELLS, cell(10)), range(12)))


def test_an_interrupted_start_leaves_no_store_in_the_way(path):
    path.touch()
    with Store.open_or_create(path, STUDY, CELLS) as store:
        assert len(store.cells()) == 4


def test_a_store_that_exists_is_not_made_anew(path):
    filled(path)
    with pytest.raises(InputError, match="exists; open it"):
        Store.create(path, STUDY, CELLS)
    with Store.open(path):
        pass


def test_two_cells_of_one_name_make_no_store(path):
    with pytest.raises(InputError, match="two have the name K2/mle/n=100"):
        Store.create(path, STUDY, [cell(), cell(variances=(1.0, 2.0))])
    with pytest.raises(InputError, match="column 'n' of K2/mle/n=100"):
        Store.create(path, STUDY, [cell(columns=("n",))])
    assert list(path.parent.iterdir()) == []


def test_a_finished_store_is_one_file(path):
    filled(path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_one_writer_and_any_reader(path):
    with Store.create(path, STUDY, CELLS) as store:
        fill(store, replications=range(3))
        with pytest.raises(StoreError, match=r"being written by this process: one writer"):
            Store.open(path)
        with Store.open(path, read_only=True) as reader:
            before = reader.results_digest()
            fill(store, replications=range(6))
            assert reader.results_digest() != before
            with pytest.raises(StoreError, match="opened for reading"):
                reader.append(batch([row(CELLS[0], 50)]))
        other = f"from moestat.montecarlo.store import Store; Store.open({str(path)!r})"
        said = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True, check=False)
    assert said.returncode
    assert f"StoreError: {str(path)!r} is being written by process {os.getpid()} on " in said.stderr
    with Store.open(path) as store:
        assert not store.read_only


def test_threads_take_turns(path):
    """Answers of a scheduler may come in any thread, while another one reads."""
    with Store.create(path, STUDY, CELLS) as store, ThreadPoolExecutor(4) as pool:
        tasks = [pool.submit(fill, store, [one], range(40), 2) for one in CELLS]
        for _ in range(10):
            store.results_digest()
        for task in tasks:
            task.result()
    assert digest_of(path) == digest_of(filled(path.with_name("alone"), replications=range(40)))


def test_a_closed_store_says_so(path):
    store = Store.create(path, STUDY, CELLS)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="Open the store again"):
        store.cells()


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_either_journal_serves(path, journal):
    with Store.create(path, STUDY, CELLS, journal=journal) as store:
        fill(store)
        assert path.with_name(path.name + "-wal").exists() == (journal == "wal")
    assert digest_of(path) == digest_of(filled(path.with_name("other")))


def test_where_writing_ahead_does_not_work(path):
    """Locks by files offer no shared memory, as a file system shared over a network does not."""
    filled(path)
    connection = connect(path, "mode=rw&vfs=unix-dotfile")
    try:
        prepare_to_write(connection, "auto")
        assert connection.execute("PRAGMA journal_mode").fetchone() == (b"delete",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    finally:
        connection.close()


def test_a_reader_does_not_stop_a_writer_from_ending(path):
    store = Store.create(path, STUDY, CELLS)
    fill(store)
    with Store.open(path, read_only=True) as reader:
        cells = reader.each()
        next(cells)
        store.close()
        assert len(list(cells)) == 3
    assert verify(path).clean
    with Store.open(path) as store:
        fill(store, replications=range(30))
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_what_a_deleted_store_left_is_no_part_of_a_new_one(path):
    with Store.create(path, STUDY, CELLS) as store:
        fill(store)
        left = path.with_name("left")
        for ending in ("", "-wal"):
            shutil.copy(f"{path}{ending}", f"{left}{ending}")
    left.unlink()
    with Store.create(left, STUDY, CELLS) as store:
        assert store.frame().empty
        fill(store)
    assert digest_of(left) == digest_of(path)


def test_a_link_to_a_store_is_the_same_store(path):
    filled(path)
    path.with_name("link").symlink_to(path)
    with Store.open(path), pytest.raises(StoreError, match="being written by this process"):
        Store.open(path.with_name("link"))


def test_whole_numbers_of_numpy_serve(path):
    with Store.create(path, STUDY, CELLS) as store:
        store.append(batch([dataclasses.replace(row(CELLS[0], 3), replication=np.int64(3))]), ended=5)
    assert verify(path).rows == 1


def test_missing_files_and_other_files(path, tmp_path):
    for read_only in (True, False):
        with pytest.raises(InputError, match="there is no store"):
            Store.open(path, read_only=read_only)
    with pytest.raises(InputError, match="must be a file"):
        Store.open(tmp_path, read_only=True)
    path.write_text("a letter")
    for attempt in (Store.open, verify):
        with pytest.raises(InputError, match="is not a store of a study"):
            attempt(path)
    path.unlink()
    other = connect(path, "mode=rwc")
    other.execute("CREATE TABLE rows (id)")
    other.close()
    with pytest.raises(InputError, match="a database, but not a store"):
        Store.open(path)
    with pytest.raises(StoreError, match="No such file"):
        Store.create(tmp_path / "nowhere" / "store", STUDY, CELLS)


def test_a_newer_format_is_not_guessed_at(path):
    filled(path)
    connection = connect(path, "mode=rw")
    connection.execute(f"PRAGMA user_version = {schema.FORMAT_VERSION + 1}")
    connection.close()
    with pytest.raises(InputError, match=f"format version {schema.FORMAT_VERSION + 1}; this moestat reads"):
        Store.open(path)


def test_a_cell_that_the_store_does_not_have(path):
    filled(path)
    with Store.open(path, read_only=True) as store, pytest.raises(InputError, match="holds no cell K7/mle/n=5 "):
        store.rows(cell(5, "K7"))


def test_results_without_rows(path):
    with Store.create(path, STUDY, CELLS) as store:
        assert [rows.numbers.shape for rows in store.each()] == [(0, 3)] * 4
        assert len(store.frame()) == len(store.timings()) == 0
        assert store.versions() == {}
    assert verify(path).digest == digest_of(path)


# Changed studies ------------------------------------------------------------


def test_new_cells_are_welcome(path):
    filled(path)
    with Store.open_or_create(path, "more", (*CELLS, cell(5000))) as store:
        assert len(store.cells()) == 5
        assert store.missing([cell(5000)], range(2))[cell(5000).digest].tolist() == [0, 1]


def test_a_changed_cell_is_refused_with_what_changed(path):
    filled(path)
    before = path.read_bytes()
    changed = [cell(n, fit, variances=(1.0, 0.8)) for n in (100, 1000) for fit in ("K2", "K3")]
    with pytest.raises(InputError) as caught:
        Store.open_or_create(path, "changed", [*changed, cell(10)])
    text = str(caught.value)
    assert text.count("truth.expert_params.variances: [1.0, 0.64] -> [1.0, 0.8]  (4 cells)") == text.count("->") == 1
    assert "4 cells are not what the store" in text
    assert text.endswith("Nothing was written. Undo the change, or write to a new store.")
    with Store.open(path, read_only=True) as store:
        assert store.study == STUDY
        assert store.cells() == tuple(sorted(CELLS, key=lambda c: (c.fit, c.n)))
    assert len(path.read_bytes()) == len(before)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"a":1}', 'truth: {"expert_params": {"variances": [1.0, 0.64]}, "gate": "softmax"} -> absent'),
        ("no JSON", 'text: {"fit": "K2", '),
        (cell().text.replace(" ", ""), "text: the same values, spelt otherwise"),
        (cell().text.replace("1.0", "1"), "truth.expert_params.variances: [1.0, 0.64] -> [1, 0.64]"),
        (cell().text.replace('"softmax"', '[{"x": 1}]'), 'truth.gate: "softmax" -> [{"x": 1}]'),
    ],
)
def test_differences_by_path(path, text, line):
    with Store.create(path, STUDY, CELLS) as store, pytest.raises(InputError) as caught:
        store.register(STUDY, [dataclasses.replace(cell(), text=text)])
    assert line in str(caught.value)


def test_other_columns_are_another_cell(path):
    with Store.create(path, STUDY, CELLS) as store:
        with pytest.raises(InputError, match=r'columns: \["loss"\] -> \["gain"\]  \(1 cell\)'):
            store.register(STUDY, [cell(columns=("loglik", "gain", "seconds per pass"))])
        with pytest.raises(InputError, match="columns"):
            store.register(STUDY, [cell(columns=COLUMNS[::-1])])


def test_an_error_of_the_caller_is_not_taken_for_damage(path):
    with Store.create(path, STUDY, CELLS) as store:
        broken = Row(CELLS[0].digest, 0, "ok", None, np.zeros(3), "")
        with pytest.raises(AttributeError):
            store.append(batch([broken]))
        assert not issubclass(AttributeError, MoestatError | DamagedStoreError)
        assert VERSIONS not in store.versions()
