"""Rows of a batch: the same bits in any company, and faults that stay where they belong."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from moestat.montecarlo import sample
from moestat.montecarlo.replication import Replications, Work, _lasting
from moestat.montecarlo.rows import CRASHED, ERROR, OK, Batch
from tests.unit.montecarlo.own import Fixed, Wrong
from tests.unit.montecarlo.small import REAL, WITH_FAULTS


def rows_of(study, replications, n=60, cells=None):
    wanted = tuple(cell.digest for cell in cells or study.cells if cell.n == n)
    return Work(study)(Batch(n, tuple(replications), wanted)).rows


def by_place(rows):
    return {(row.cell, row.replication): row.digest for row in rows}


@pytest.mark.parametrize("study", [REAL, WITH_FAULTS], ids=["real", "with faults"])
def test_company_and_order_change_no_bit(study):
    everything = by_place(rows_of(study, range(6)))
    for parts in ([[0, 1, 2], [3, 4, 5]], [[5, 0], [3, 1, 2], [4]], [[0], [1], [2], [3], [4], [5]]):
        found = {}
        for part in parts:
            found |= by_place(rows_of(study, part))
        assert found == everything
    alone = {}
    for cell in reversed(study.cells):
        if cell.n == 60:
            alone |= by_place(rows_of(study, range(6), cells=[cell]))
    assert alone == everything


def first_covariates():
    return np.array([sample(WITH_FAULTS, 60, r)[0][0, 0] for r in range(20)])


def test_a_protocol_that_raises_gives_rows_with_the_error_and_harms_no_other():
    fails = first_covariates() < -1.0
    assert 2 <= fails.sum() <= 10
    labels = {cell.digest: cell.protocol for cell in WITH_FAULTS.cells}
    for row in rows_of(WITH_FAULTS, range(20)):
        wrong = labels[row.cell] == "fixed" and fails[row.replication]
        assert row.outcome == (ERROR if wrong else OK)
        assert np.isnan(row.numbers).all() == wrong
        if wrong:
            error = json.loads(row.words)["error"]
            assert error["type"] == "ZeroDivisionError"
            assert error["message"].startswith("by -1.")
            assert "fit" in error["where"]


def test_warnings_belong_to_their_data_set():
    warns = first_covariates() > 1.0
    assert warns.any()
    (cell,) = [cell for cell in WITH_FAULTS.cells if cell.protocol == "fixed"]
    column = cell.columns.index("n_warnings")
    for row in rows_of(WITH_FAULTS, range(20), cells=[cell]):
        if row.outcome == OK:
            assert row.numbers[column] == warns[row.replication]
            said = json.loads(row.words)["warnings"] if row.words else []
            assert [text.startswith("RuntimeWarning: the first covariate") for text in said] == [True] * len(said)
            assert bool(said) == warns[row.replication]


def test_an_estimate_does_without_the_ends_that_failed():
    fails = first_covariates() < -1.0
    (cell,) = [cell for cell in WITH_FAULTS.cells if cell.protocol == "mle"]
    column = cell.columns.index("n_starts")
    for row in rows_of(WITH_FAULTS, range(20), cells=[cell]):
        assert row.outcome == OK
        assert row.numbers[column] == (1 if fails[row.replication] else 2)


@pytest.mark.parametrize("what", ["none", "few"])
def test_what_is_no_end_is_an_error_of_its_row(what):
    study = replace(WITH_FAULTS, protocols=[Wrong(what=what), Fixed()], text="")
    found = rows_of(study, range(3))
    assert [row.outcome for row in found] == [ERROR] * 3 + [OK] * 3
    assert json.loads(found[0].words)["error"]["message"] == "a protocol gives back an End; got NoneType"


def test_addresses_in_memory_are_left_out_of_messages():
    assert _lasting("by <object at 0x7f3a1b2c4d5e>, 0x10") == "by <object at 0x...>, 0x10"
    assert len(_lasting("a" * 10_000)) == 500


def test_what_cannot_be_recorded_is_an_error_with_the_kind_of_end(monkeypatch):
    study = replace(WITH_FAULTS, protocols=[Fixed()], text="")
    monkeypatch.setattr(type(study.recorders["K2"]), "of", lambda *args: 1 / 0)
    (row,) = rows_of(study, [0])
    assert (row.outcome, row.status) == (ERROR, "STRICT_MAXIMUM")
    assert json.loads(row.words)["error"]["type"] == "ZeroDivisionError"


def test_replications_that_killed_their_process():
    batch = Batch(60, (3, 4), tuple(cell.digest for cell in WITH_FAULTS.cells))
    found = Work(WITH_FAULTS).crashed(batch, "killed by signal 9")
    assert len(found.rows) == 6
    assert {row.outcome for row in found.rows} == {CRASHED}
    assert all(np.isnan(row.numbers).all() and "signal 9" in row.words for row in found.rows)


def test_every_end_is_computed_once(monkeypatch):
    counted = []
    once = Fixed.fit
    monkeypatch.setattr(Fixed, "fit", lambda self, task: counted.append(task) or once(self, task))
    study = replace(WITH_FAULTS, protocols=[*WITH_FAULTS.protocols[:1], Fixed()], text="")
    batch = Replications(study, Batch(60, (0, 1, 2), ()))
    for cell in study.cells:
        batch.rows(cell)
    assert len(counted) == 3


def test_the_shortfall_is_what_is_missing_to_the_ends_it_starts_from():
    """Nothing is missing, but to a recipe on its way to a spike, where the likelihood has no maximum."""
    cells = {cell.digest: cell for cell in REAL.cells}
    found = {(cells[row.cell].fit, cells[row.cell].protocol, row.replication): row for row in rows_of(REAL, range(6))}
    for (fit, protocol, r), row in found.items():
        columns = cells[row.cell].columns
        level, shortfall = (row.numbers[columns.index(name)] for name in ("loglik", "shortfall"))
        if protocol == "mle":
            other = found[fit, "published", r]
            assert shortfall == pytest.approx(max(0.0, other.numbers[columns.index("loglik")] - level), abs=1e-12)
            assert shortfall < 1e-6 or (other.status == "NOT_CONVERGED" and "spike" in row.words)
