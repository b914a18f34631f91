"""A study that is killed a hundred times, at any moment, ends as one that was left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from moestat import montecarlo as mc

STUDY = """
[study]
name = "killed"
seed = 11
[truth]
gate_params = {{ intercepts = [0.0, 0.0], slopes = [[0.5], [-0.5]] }}
expert_params = {{ intercepts = [1.5, -1.5], slopes = [[0.5], [-0.5]], variances = [1.0, 0.64] }}
[covariates]
law = "uniform"
[design]
n = [100, 150, 200, 250]
replications = {replications}
[[fit]]
name = "K2"
[[protocol]]
name = "mle"
n_starts = 2
"""


def rows_in(store):
    """How many rows a store holds, whose every byte is as it was written."""
    if not store.exists():
        return 0
    with mc.Store.open(store, read_only=True) as found:
        return sum(sum(counts.values()) for counts in found.counts().values())


def begin(study, store, workers):
    """A run in a session of its own."""
    command = [sys.executable, "-m", "moestat", "study", "run", str(study), "--store", str(store), "-w", str(workers)]
    return subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ}
    )


def wait_for_rows(store, more_than):
    """Until a run adds rows, or four minutes: the first one on a machine compiles."""
    for _ in range(1200):
        if rows_in(store) > more_than:
            return
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("workers", "kills"), [(1, 70), (2, 30)])
def test_a_study_survives_a_hundred_kills(tmp_path, workers, kills):
    text = STUDY.format(replications=1500)
    file, store = tmp_path / "killed.toml", tmp_path / "killed.db"
    file.write_text(text)
    rng = np.random.default_rng(workers)
    before, grown = 0, 0
    for number in range(kills):
        process = begin(file, store, workers)
        if number % 3:  # while rows are written; else at any moment from the start of the program on
            wait_for_rows(store, before)
        time.sleep(rng.uniform(0.0, 1.5 if number % 3 else 6.0))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        after = rows_in(store)
        assert after >= before  # nothing that was finished is lost
        grown += after > before
        before = after
    assert grown >= kills / 2  # most kills came while rows were written
    study = mc.Study.from_toml(file)
    resumed = mc.run(study, store)
    assert resumed.complete
    assert mc.verify(store).clean
    alone = mc.run(study, tmp_path / "alone.db")
    with mc.Store.open(store, read_only=True) as one, mc.Store.open(tmp_path / "alone.db", read_only=True) as other:
        texts = [found.export(tmp_path / f"{i}.csv").read_bytes() for i, found in enumerate((one, other))]
    assert texts[0] == texts[1]
    assert resumed.digest() == alone.digest()


def test_the_store_alone_goes_on_elsewhere(tmp_path):
    file, store = tmp_path / "killed.toml", tmp_path / "killed.db"
    file.write_text(STUDY.format(replications=200))
    process = begin(file, store, 1)
    wait_for_rows(store, 40)
    time.sleep(2.0)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "killed.db").write_bytes(store.read_bytes())  # not what was written ahead
    assert rows_in(elsewhere / "killed.db") > 0.3 * rows_in(store)
    study = mc.Study.from_toml(file)
    assert mc.run(study, elsewhere / "killed.db").digest() == mc.run(study, store).digest()
