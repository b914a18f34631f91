"""Progress: a bar on a terminal, lines elsewhere, and any function."""

from __future__ import annotations

import io

import pytest

from moestat.errors import InputError
from moestat.montecarlo.engine import Serial, Standing
from moestat.montecarlo.engine.reporting import Lines, reporting, span
from tests.unit.montecarlo.engine.works import Slow, run


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_lines_come_with_pauses_and_at_the_end(capsys):
    with Lines(pause=60.0) as report:
        for done in range(5):
            report(Standing(done, 5, 1.0, 3.0))
    assert capsys.readouterr().err == "4 of 5 rows (80 %), 4 per second, 3 s left\n"
    with Lines(pause=0.0) as report:
        for done in range(5):
            report(Standing(done, 4, 1.0, None))
    assert capsys.readouterr().err.splitlines()[-1] == "4 of 4 rows (100 %), 4 per second"


def test_a_terminal_has_a_bar(monkeypatch):
    monkeypatch.setattr("sys.stderr", shown := Terminal())
    run(Serial(), Slow(0.002), progress=True)
    assert "78/78 rows" in shown.getvalue()
    assert "rows/s" in shown.getvalue()
    assert shown.getvalue().endswith("\n")


def test_no_terminal_has_lines(capsys):
    run(Serial(), Slow(), progress=True)
    assert capsys.readouterr().err.startswith("78 of 78 rows (100 %)")


def test_a_function_is_told_how_far_it_is():
    told = []
    run(Serial(), Slow(0.001), progress=told.append)
    done = [standing.done for standing in told]
    assert done == sorted(done)
    assert (done[0], done[-1], told[0].total) == (0, 78, 78)
    assert (told[0].seconds_left, told[-1].seconds_left) == (None, 0.0)


@pytest.mark.parametrize("quiet", [False, None])
def test_silence(quiet, capsys):
    run(Serial(), Slow(), progress=quiet)
    assert capsys.readouterr() == ("", "")


def test_anything_else_is_refused():
    with pytest.raises(InputError, match="progress must be"):
        reporting(3)


@pytest.mark.parametrize(("seconds", "text"), [(3.2, "3 s"), (200.0, "3 min"), (20_000.0, "5.6 h")])
def test_spans_have_units(seconds, text):
    assert span(seconds) == text
