"""A run that is stopped, or killed, goes on where it was, and ends with the same results."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from moestat.montecarlo import Study, run
from tests.unit.cli.runs import moestat
from tests.unit.cli.study.studies import LONG, LONG_ROWS, digest, rows, written

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The digest of a run that nobody stopped."""
    return run(Study.from_text(LONG), tmp_path_factory.mktemp("whole") / "whole.db").digest()


def stopped(path, by):
    """Run a study in another process, stop it after its first rows, and give its code and what it said."""
    store = path.with_suffix(".db")
    command = [sys.executable, "-m", "moestat", "study", "run", str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120.0
        while not (store.exists() and rows(store)):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(by)
        out, err = process.communicate(timeout=60.0)
    return process.returncode, out, err


def resumed(path):
    done = rows(path.with_suffix(".db"))
    assert 0 < done < LONG_ROWS
    finished = moestat("study", "run", path)
    assert finished.code == 0, finished
    assert f"{LONG_ROWS - done} rows added" in finished.out
    return digest(path.with_suffix(".db"))


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_stopped_and_resumed(tmp_path, uninterrupted, by):
    path = written(tmp_path / "long.toml", LONG)
    code, out, err = stopped(path, by)
    assert code == 130, (out, err)
    assert "Stopping" in err
    left = LONG_ROWS - rows(path.with_suffix(".db"))
    assert f"{left} rows are missing (interrupted). To go on: moestat study run {path}" in out
    assert resumed(path) == uninterrupted


def test_killed_and_resumed(tmp_path, uninterrupted):
    path = written(tmp_path / "long.toml", LONG)
    assert stopped(path, signal.SIGKILL)[0] == -signal.SIGKILL
    assert resumed(path) == uninterrupted


def test_an_interrupt_before_the_first_row(tmp_path, monkeypatch):
    def stop(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(Study, "from_toml", stop)
    path = written(tmp_path / "long.toml", LONG)
    early = moestat("study", "run", path, "--workers", 2)
    assert early.code == 130
    assert (
        early.err == f"Interrupted. What was finished is in the store. To go on: moestat study run {path} --workers 2\n"
    )
    assert list(tmp_path.iterdir()) == [path]
