"""Ctrl-C, SIGTERM and SIGKILL: an end within seconds, nothing delivered is lost, no process is left."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[4]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}

both = pytest.mark.parametrize("engine", ["serial", "loky"])


class Driver:
    """A driver as a program of its own, in a session of its own, as a terminal would start it."""

    def __init__(self, store: Path, engine: str, seconds: float, grace: float, stderr: int = subprocess.PIPE) -> None:
        command = [sys.executable, "-m", "tests.unit.montecarlo.engine.driver"]
        self.store = store
        self.process = subprocess.Popen(
            [*command, engine, str(seconds), str(grace), str(store)],
            cwd=ROOT,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )

    def wait_for(self, lines: int) -> Driver:
        """Until so many batches were delivered, and one has begun."""
        begun = self.store.with_name(self.store.name + ".begun")
        self._until(lambda: begun.exists() and len(self.delivered) >= lines)
        return self

    def send(self, number: int) -> Driver:
        """A signal to all of the session, as a terminal or a batch scheduler sends it."""
        os.killpg(self.process.pid, number)
        return self

    def end(self, within: float) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        out, err = self.process.communicate(timeout=within)
        return self.process.returncode, out, err

    @property
    def delivered(self) -> list[tuple[int, int]]:
        """Rows of each batch, and the process that made it."""
        lines = [line.split() for line in self.store.read_text().splitlines()]
        return [(int(rows), int(process)) for rows, process in lines]

    def left(self, within: float = 5.0) -> list[int]:
        """Processes of the session that are still there after a while."""
        self._until(lambda: not self._alive(), within)
        return self._alive()

    def _alive(self) -> list[int]:
        return [each.pid for each in psutil.process_iter() if self._is_ours(each)]

    def _is_ours(self, each: psutil.Process) -> bool:
        try:
            ours = os.getsid(each.pid) == self.process.pid
            return ours and each.pid != self.process.pid and each.status() != psutil.STATUS_ZOMBIE
        except (ProcessLookupError, psutil.NoSuchProcess):
            return False

    def _until(self, true, within: float = 30.0) -> None:
        end = time.monotonic() + within
        while time.monotonic() < end and not true():
            time.sleep(0.05)


@pytest.fixture
def driver(tmp_path):
    started = []

    def start(*arguments, **options):
        started.append(Driver(tmp_path / f"store{len(started)}", *arguments, **options))
        return started[-1]

    yield start
    for each in started:
        for pid in [each.process.pid, *each._alive()]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        each.process.communicate()


@pytest.mark.parametrize(
    ("engine", "number"),
    [
        ("serial", signal.SIGINT),
        ("loky", signal.SIGINT),
        pytest.param("serial", signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param("loky", signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_the_first_signal_finishes_what_runs(driver, engine, number):
    run = driver(engine, 0.05, 10.0).wait_for(4).send(number)
    code, out, err = run.end(within=10.0)
    assert (code, out.split()) == (130, [str(sum(rows for rows, _ in run.delivered)), "True"])
    assert "Stopping: running batches get 10 s to finish." in err
    assert "Traceback" not in err
    assert run.left() == []


@pytest.mark.slow
def test_batches_on_a_cluster_finish_or_are_abandoned_as_well(driver, cluster):
    run = driver(cluster.scheduler_address, 0.05, 10.0).wait_for(4).send(signal.SIGINT)
    code, out, _ = run.end(within=10.0)
    assert (code, out.split()) == (130, [str(sum(rows for rows, _ in run.delivered)), "True"])
    (run := driver(cluster.scheduler_address, 2.0, 0.2)).wait_for(0).send(signal.SIGINT)
    assert run.end(within=5.0)[0] == 130


@both
def test_what_runs_for_longer_than_the_grace_is_abandoned(driver, engine):
    run = driver(engine, 60.0, 0.5).wait_for(0).send(signal.SIGINT)
    code, out, err = run.end(within=5.0)
    assert (code, out.split()) == (130, ["0", "True"])
    assert "Traceback" not in err
    assert run.left() == []


@both
def test_the_second_signal_does_not_wait(driver, engine):
    run = driver(engine, 60.0, 60.0).wait_for(0).send(signal.SIGINT)
    time.sleep(0.3)
    code, out, _ = run.send(signal.SIGINT).end(within=5.0)
    assert (code, out.split()) == (130, ["0", "True"])
    assert run.left() == []


def test_workers_end_with_a_driver_that_was_killed(driver):
    run = driver("loky", 0.05, 5.0).wait_for(4)
    workers = {process for _, process in run.delivered}
    assert len(workers) == 2
    assert workers <= set(run._alive())
    os.kill(run.process.pid, signal.SIGKILL)
    run.process.wait()
    assert run.left() == []


@pytest.mark.slow
def test_workers_at_work_do_too(driver):
    """Also within a batch that takes a minute."""
    run = driver("loky", 60.0, 5.0).wait_for(0)
    run._until(lambda: len(run._alive()) >= 2)
    os.kill(run.process.pid, signal.SIGKILL)
    run.process.wait()
    assert run.left() == []


def test_a_terminal_is_left_as_it_was(driver):
    """Ctrl-C typed at a terminal with a bar: the last line is ended."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    run = driver("loky", 0.05, 5.0, stderr=theirs).wait_for(4).send(signal.SIGINT)
    os.close(theirs)
    code, _, _ = run.end(within=10.0)
    shown = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # nobody writes any more
            part = b""
        if not part:
            break
        shown += part
    os.close(ours)
    assert code == 130
    assert b"rows/s" in shown
    assert b"Stopping" in shown
    assert shown.endswith(b"\r\n")
