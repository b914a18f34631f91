"""The driver: the same rows from every engine, and an end as promised whatever happens to its workers."""

from __future__ import annotations

import builtins
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import pytest

from moestat.errors import InputError
from moestat.montecarlo.engine import Cluster, EngineError, Executors, Plan, Processes, Serial, Shard, WorkError, drive
from tests.unit.montecarlo.engine.works import (
    Fatal,
    Slow,
    Store,
    crashed,
    expected,
    mistaken,
    run,
    told,
    unsendable,
    wanted,
)

REMOTE = ["loky", "dask"]
ALL = ["serial", *REMOTE]


@pytest.fixture
def engine(request):
    if request.param == "dask":
        return Cluster(request.getfixturevalue("cluster").scheduler_address)
    return Serial() if request.param == "serial" else Processes(int(request.param[4:] or 2))


def on(*names):
    return pytest.mark.parametrize("engine", names, indirect=True)


#: One size: isolation takes a while.
ONE = wanted((100,))


def all_but_the_poison(store, poison):
    """Whether exactly this replication crashed, and all others were delivered once."""
    innocent = [row for row in store.taken if row.replication != poison]
    what = {n: {r: cells for r, cells in each.items() if r != poison} for n, each in ONE.items()}
    return store.crashes == [poison] and sorted(row.digest for row in innocent) == expected(what)


# ------------------------------------------------------------------------------------- the same rows
@on("serial", "loky1", "loky2", "loky5", "dask")
def test_every_engine_delivers_the_same_rows(engine):
    outcome, store = run(engine, Slow(0.002))
    assert store.digests == expected(wanted())
    assert (outcome.rows, outcome.missing, outcome.crashed) == (78, 0, 0)
    assert not outcome.interrupted
    assert not outcome.out_of_time


def test_shards_deliver_the_same_rows():
    store = Store()
    for index in (1, 2, 3):
        drive(Plan(wanted(), shard=Shard(index, 3)), Slow(), Serial(), store, crashed=crashed)
    assert store.digests == expected(wanted())


def test_any_standard_executor_will_do():
    _, store = run(Executors(lambda: ProcessPoolExecutor(1, mp_context=get_context("spawn")), 1), Slow())
    assert store.digests == expected(wanted())


@on("loky2")
def test_works_that_cannot_be_imported_are_sent_as_well(engine):
    shift = 0
    _, store = run(engine, lambda batch: Slow(shift)(batch))
    assert store.digests == expected(wanted())


@on(*ALL)
def test_a_worker_uses_one_thread(engine):
    _, store = run(engine, told)
    blas, ours, ignored = zip(*(row.words.split() for row in store.taken), strict=True)
    assert {*blas, *ours} == {"1"}
    assert set(ignored) == {str(isinstance(engine, Processes))}


def test_nothing_is_done_for_an_empty_plan():
    outcome, store = run(Processes(2), Slow(), {100: {}})
    assert (outcome.rows, store.taken) == (0, [])


# ------------------------------------------------------------------------------------- workers that die
@on(*REMOTE)
def test_a_worker_that_is_killed_costs_nothing(engine, tmp_path):
    outcome, store = run(engine, Fatal((7,), once=str(tmp_path / "killed")))
    assert store.digests == expected(wanted())
    assert outcome.crashed == 0
    assert (tmp_path / "killed").exists()


@on(*REMOTE)
def test_a_replication_that_kills_is_found_and_the_others_finish(engine):
    outcome, store = run(engine, Fatal((7,)), ONE)
    assert all_but_the_poison(store, 7)
    assert (outcome.rows, outcome.crashed) == (39, 1)
    assert {row.words for row in store.taken if row.replication == 7} <= {
        "the worker process died",
        "the worker process died: SIGKILL(-9)",
    }


@pytest.mark.slow
def test_so_is_one_that_ends_its_process():
    _, store = run(Processes(2), Fatal((7,), how="exit"), ONE)
    assert all_but_the_poison(store, 7)


@pytest.mark.parametrize("kind", ["read", "write"])
@on(*REMOTE)
def test_so_is_one_whose_result_does_not_come_through(engine, kind):
    _, store = run(engine, partial(unsendable, 7, kind), ONE)
    assert all_but_the_poison(store, 7)
    assert all("pickled" in row.words for row in store.taken if row.replication == 7)


def test_when_all_die_there_is_an_end(monkeypatch):
    monkeypatch.setattr("moestat.montecarlo.engine.driving.CRASHES", 1)
    with pytest.raises(EngineError, match="1 replications in a row killed their workers, the last of them n="):
        run(Processes(1), Fatal(tuple(range(20))))


def test_workers_that_cannot_start_are_told_of(monkeypatch):
    monkeypatch.setattr("moestat.montecarlo.engine.workplace.STARTS", 2)
    monkeypatch.setattr("moestat.montecarlo.engine.processes.begin", partial(int, "no number"))
    with pytest.raises(EngineError, match="worker processes cannot start: workers died 2 times"):
        run(Processes(1), Slow())


def test_a_cluster_without_workers_is_told_of(monkeypatch, cluster):
    monkeypatch.setattr("moestat.montecarlo.engine.workplace.PATIENCE", 0.5)
    monkeypatch.setattr("moestat.montecarlo.engine.cluster._Client.slots", 0)
    with pytest.raises(EngineError, match="has had no worker"):
        run(Cluster(cluster.scheduler_address), Slow(2.0))


def test_a_cluster_that_is_not_there_is_told_of():
    with pytest.raises(EngineError, match=r"no scheduler answers at tcp://127\.0\.0\.1:9"):
        run(Cluster("tcp://127.0.0.1:9", patience=0.2), Slow())


# ------------------------------------------------------------------------------------- mistakes
MISTAKES = {"raise": "by zero", "exit": "SystemExit: 2", "nothing": "got None", "few": "not these"}


@pytest.mark.parametrize(
    ("engine", "how"), [("loky", "raise"), *(("serial", how) for how in MISTAKES)], indirect=["engine"]
)
def test_a_mistake_of_the_work_ends_the_study_and_names_the_batch(engine, how):
    with pytest.raises(WorkError, match=rf"batch of n=\d+, replications? .*7.*: .*{MISTAKES[how]}") as caught:
        run(engine, partial(mistaken, 7, how))
    assert ("in mistaken" in caught.value.trace) == (how in ("raise", "exit"))


def test_batches_beside_a_mistake_are_delivered():
    def work(batch):
        time.sleep(0.5 * (batch.n == 100))
        return mistaken(0, "raise", batch) if batch.n == 200 else Slow()(batch)

    store = Store()
    with pytest.raises(WorkError):
        drive(Plan(wanted(replications=3)), work, Processes(2), store, crashed=crashed)
    assert len(store.taken) >= 2


@on("serial", "loky", "dask")
def test_an_error_of_the_store_ends_the_study(engine):
    def full(batch):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        drive(Plan(wanted()), Slow(), engine, full, crashed=crashed)


def test_a_work_that_cannot_be_sent_is_refused():
    lock = threading.Lock()
    with pytest.raises(InputError, match="work must be something that can be pickled"):
        run(Processes(1), lambda batch: lock)


class Unreadable:
    """A work that fails when a worker reads it."""

    def __reduce__(self):
        return int, ("no number",)


def test_a_work_that_cannot_be_read_is_told_of():
    with pytest.raises(WorkError, match="workers cannot load the work: ValueError"):
        run(Processes(1), Unreadable())


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, "2"])
def test_numbers_of_workers_are_checked(workers):
    with pytest.raises(InputError, match="workers must be"):
        Processes(workers)


def test_the_missing_extra_is_named(monkeypatch):
    real = builtins.__import__
    monkeypatch.delitem(sys.modules, "distributed", raising=False)

    def without(name, *rest):
        if name == "distributed":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"pip install 'moestat\[cluster\]'"):
        Cluster("tcp://127.0.0.1:8786")


# ------------------------------------------------------------------------------------- time
@on("serial", "loky")
def test_no_batch_is_begun_after_the_time_is_over(engine):
    outcome, store = run(engine, Slow(0.05), max_time=0.6)
    assert outcome.out_of_time
    assert not outcome.interrupted
    assert 0 < outcome.rows == len(store.taken) < 78
    assert outcome.rows + outcome.missing == 78
    assert outcome.seconds < 5.0


def test_all_of_it_in_time_is_not_out_of_time():
    outcome, _ = run(Serial(), Slow(), max_time=60.0)
    assert not outcome.out_of_time


@on("serial", "loky")
def test_other_threads_drive_as_well(engine):
    found = []
    thread = threading.Thread(target=lambda: found.append(run(engine, Slow())))
    thread.start()
    thread.join()
    assert found[0][1].digests == expected(wanted())
