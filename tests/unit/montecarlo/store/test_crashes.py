"""A writer may end at any moment, a disk may be full: what was acknowledged is there, and the rest is run again."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from moestat.errors import StoreError
from moestat.montecarlo.store import Store, verify
from tests.unit.montecarlo.store.studies import CELLS, STUDY, batch, digest_of, fill, filled, row

REPLICATIONS = range(400)

#: Fills a store, and says after each batch which rows are acknowledged.
WRITER = """
import sys
from moestat.montecarlo.store import Store
from tests.unit.montecarlo.store.studies import CELLS, STUDY, batch, row
with Store.open_or_create(sys.argv[1], STUDY, CELLS, journal=sys.argv[2]) as store:
    print("ready", flush=True)
    missing = store.missing(CELLS, range(400))
    for cell in CELLS:
        wanted = missing[cell.digest].tolist()
        for i in range(0, len(wanted), 5):
            store.append(batch([row(cell, r) for r in wanted[i : i + 5]]))
            print(cell.digest, *wanted[i : i + 5], flush=True)
"""


@pytest.mark.parametrize("journal", ["wal", "delete"])
@pytest.mark.parametrize("kills", [6, pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(1500)])])
def test_killed_at_any_moment(tmp_path, journal, kills):
    path, moment = tmp_path / "store", random.Random(kills)
    acknowledged = {cell.digest: set() for cell in CELLS}
    for _ in range(kills):
        for line in killed(path, journal, moment):
            name, *replications = line.split()
            acknowledged[name].update(map(int, replications))
        if not path.exists():  # killed before it was there
            continue
        assert verify(path).clean
        with Store.open(path, read_only=True) as store:
            for cell in CELLS:
                assert acknowledged[cell.digest] <= set(store.rows(cell).replications.tolist())
        if len(acknowledged[CELLS[-1].digest]) == len(REPLICATIONS):
            path.unlink()
            acknowledged = {cell.digest: set() for cell in CELLS}
    with Store.open_or_create(path, STUDY, CELLS) as store:
        fill(store, CELLS, REPLICATIONS, 50)
    assert verify(path).clean
    assert digest_of(path) == digest_of(filled(tmp_path / "other", CELLS, REPLICATIONS, 100))


def killed(path, journal, moment):
    """Start a writer and kill it; returns what it said in whole lines."""
    command = [sys.executable, "-c", WRITER, str(path), journal]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        if moment.random() < 0.8:  # otherwise it may be killed while it makes or opens the store
            process.stdout.readline()
            time.sleep(moment.uniform(0.0, 0.4))
        else:
            time.sleep(moment.uniform(0.2, 1.5))
        process.send_signal(signal.SIGKILL)
        said = process.stdout.read()
    whole = said[: said.rfind("\n") + 1]
    return [line for line in whole.splitlines() if line != "ready"]


def test_a_killed_writer_leaves_no_lock(tmp_path):
    """Not even where a child that it forked lives on."""
    path = filled(tmp_path / "store")
    program = """
import os, sys, time
from moestat.montecarlo.store import Store
store = Store.open(sys.argv[1])
child = os.fork()
if child == 0:
    time.sleep(60)
print(child, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True) as process:
        child = int(process.stdout.readline())
        with pytest.raises(StoreError, match=f"written by process {process.pid} on"):
            Store.open(path)
        process.kill()
        process.wait()
        try:
            os.kill(child, 0)
            Store.open(path).close()
        finally:
            os.kill(child, signal.SIGKILL)
    assert verify(path).clean


# Disks that are full, and that cannot be written to -------------------------------------------------------------


@contextmanager
def limited(size):
    """No file may grow beyond a size, as on a disk without space."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def append_until_refused(store):
    """Number of batches that were acknowledged before the disk was full, and what was said then."""
    written: list[int] = []
    with pytest.raises(StoreError) as caught:
        append_many(store, written)
    said = str(caught.value)
    assert "All batches that were committed are intact" in said
    assert "the same command again" in said
    return len(written), said


def append_many(store, written):
    for start in range(0, 100_000, 10):
        store.append(batch([row(CELLS[0], r) for r in range(start, start + 10)]))
        written.append(start)


def comes_through(path, store, written):
    """What was acknowledged is there while the disk is full, and the same store goes on when it is not."""
    assert written > 0
    with Store.open(path, read_only=True) as reader:
        assert reader.rows(CELLS[0]).replications.tolist() == list(range(10 * written))
    assert store.missing(CELLS[:1], range(10 * written))[CELLS[0].digest].size == 0


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_files_that_may_not_grow(tmp_path, journal):
    path = tmp_path / "store"
    with Store.create(path, STUDY, CELLS, journal=journal) as store:
        with limited(200_000):
            written, said = append_until_refused(store)
            comes_through(path, store, written)
        assert "the disk did not take or give the data" in said
        fill(store, CELLS[:1], range(10 * written + 100), 10)
    assert verify(path).clean
    assert digest_of(path) == digest_of(rows_of_one_cell(tmp_path / "other", 10 * written + 100))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 400 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = (
        shutil.which("mount")
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)], check=False, capture_output=True
        ).returncode
    )
    if not mounted:
        pytest.skip("only root can mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_full_disk(small_disk, tmp_path, journal):
    path = small_disk / "store"
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(150_000))
    store = Store.create(path, STUDY, CELLS, journal=journal)
    written, said = append_until_refused(store)
    assert "there is no space left on the disk" in said
    comes_through(path, store, written)
    store.close()
    assert verify(path).rows == 10 * written
    ballast.unlink()
    with Store.open_or_create(path, STUDY, CELLS, journal=journal) as store:
        fill(store, CELLS[:1], range(10 * written + 20), 10)
    assert verify(path).clean
    assert digest_of(path) == digest_of(rows_of_one_cell(tmp_path / "other", 10 * written + 20))


def rows_of_one_cell(path, number):
    with Store.create(path, STUDY, CELLS) as store:
        fill(store, CELLS[:1], range(number), 10)
    return path


def test_an_export_that_does_not_fit_leaves_nothing(small_disk, tmp_path):
    path = filled(tmp_path / "store", replications=range(2000), size=500)
    target = small_disk / "results.csv"
    target.write_text("before")
    with Store.open(path) as store:
        for name in ("results.csv", "results.parquet"):
            (small_disk / "ballast").write_bytes(bytes(300_000))
            with pytest.raises(StoreError, match="No space left"):
                store.export(small_disk / name)
    assert sorted(file.name for file in small_disk.iterdir()) == ["ballast", "results.csv"]
    assert target.read_text() == "before"


def as_nobody(action):
    """What an action says when it is done by a user without rights, in a process of its own."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        try:
            os.setgid(65534)
            os.setuid(65534)
            said = str(action())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(into, said.encode())
        os._exit(0)
    os.close(into)
    os.waitpid(child, 0)
    with os.fdopen(out, "rb") as file:
        return file.read().decode()


@pytest.fixture
def read_only_folder():
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    folder = Path(tempfile.mkdtemp())
    yield folder
    shutil.rmtree(folder)


def test_a_folder_that_cannot_be_written_to(read_only_folder):
    path = filled(read_only_folder / "store")
    os.chmod(read_only_folder, 0o755)
    digest = digest_of(path)
    assert as_nobody(lambda: digest_of(path)) == digest
    assert as_nobody(lambda: verify(path).digest) == digest
    for action in (lambda: Store.open(path), lambda: Store.create(read_only_folder / "new", STUDY, CELLS)):
        assert as_nobody(action).startswith(f"StoreError: {str(read_only_folder)!r}"[:-1])
        assert "Permission denied" in as_nobody(action)


def test_pending_batches_cannot_be_read_where_nothing_can_be_written(read_only_folder):
    """Leaving them out would be silently wrong."""
    path, left = read_only_folder / "store", read_only_folder / "left"
    with Store.create(path, STUDY, CELLS) as store:
        fill(store)
        for ending in ("", "-wal"):
            shutil.copy(f"{path}{ending}", f"{left}{ending}")
    os.chmod(read_only_folder, 0o755)
    assert as_nobody(lambda: digest_of(left)).startswith("StoreError: ")
    assert digest_of(left) == digest_of(path)
