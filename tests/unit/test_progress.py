"""How a fit tells how far it has come."""

from __future__ import annotations

from itertools import pairwise

import pytest

import moestat as ms
from moestat.errors import InputError
from moestat.progress import Bar, reporting, silent


@pytest.fixture
def rows():
    data = ms.datasets.load("tone")
    return ms.MixtureOfExperts(gate="softmax", expert="gaussian", n_experts=2), data.X, data.y


def told(rows, **options):
    reports = []
    ms.fit(*rows, progress=lambda *report: reports.append(report), **options)
    return reports


def stages(reports):
    """The stages in order, each with all its reports."""
    out = []
    for stage, done, total in reports:
        if done == 0 and (not out or out[-1][0] != stage or out[-1][1][-1][0] > 0):
            out.append((stage, []))
        out[-1][1].append((done, total))
    return out


def test_every_start_is_reported(rows):
    found = stages(told(rows, n_starts=6))
    assert [stage for stage, _ in found] == ["short runs", "finishing"]
    assert [done for done, _ in found[0][1]] == list(range(7))
    for _, reports in found:
        assert all(b[0] >= a[0] for a, b in pairwise(reports))
        assert reports[-1][0] == reports[-1][1] == 6


def test_a_solver_s_runs_are_reported(rows):
    assert told(rows, n_starts=3, solver="em_newton") == [("runs", done, 3) for done in range(4)]


def test_batches_are_reported(rows):
    found = stages(told(rows, n_starts="auto"))
    assert [stage for stage, _ in found[:2]] == ["short runs", "finishing"]
    assert len(found) % 2 == 0


def test_reports_change_nothing(rows):
    assert ms.fit(*rows, n_starts=3, progress=True).llf == ms.fit(*rows, n_starts=3).llf


def test_a_bar_names_the_stage_and_counts(rows, capsys):
    ms.fit(*rows, n_starts=3, progress=True)
    shown = capsys.readouterr()
    assert "short runs" in shown.err
    assert "/3" in shown.err
    assert not shown.out


def test_a_bar_follows_a_total_that_grows():
    with Bar(disable=False) as bar:
        for done in range(3):
            bar("finishing", done, done + 1)
        assert (bar._bar.n, bar._bar.total) == (2, 3)


def test_no_progress_is_silent(rows, capsys):
    ms.fit(*rows, n_starts=2)
    with reporting(None) as report:
        assert report is silent
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("wrong", [1, "bar"])
def test_other_values_are_refused(rows, wrong):
    with pytest.raises(InputError, match=r"progress must be True, False or a function of \(stage, done, total\)"):
        ms.fit(*rows, progress=wrong)
