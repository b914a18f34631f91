"""The table of benchmarks: figures, what is missing, and how new numbers join old ones."""

from __future__ import annotations

import json
import platform
import re

import pytest

from tests.benchmarks import machine, page, report
from tests.benchmarks.measure import Found, Measure, NotMeasured, at_least, at_most
from tests.benchmarks.measures import MEASURES
from tests.benchmarks.peers import r
from tests.benchmarks.picture import PROGRAMS


def found(*values, missing=""):
    """A run that finds these values, then misses something."""

    def run(quick):
        for value in values:
            yield Found(f"d={len(values)}", value, "quick" if quick else "")
        if missing:
            raise NotMeasured(missing)

    return run


def result(key="speed", *values, bound=None, missing=""):
    return report.measured(Measure(key, f"The {key}", "times", bound, found(*values, missing=missing)), False)


def test_figures_hold_at_their_edge():
    assert at_least(2.0).met(2.0)
    assert not at_least(2.0).met(1.99)
    assert at_most(2.0).met(2.0)
    assert not at_most(2.0).met(2.01)
    assert (str(at_least(25.0)), str(at_most(1.25))) == ("≥ 25", "≤ 1.25")


def test_each_case_says_whether_it_reached_the_figure():
    cases = result("speed", 30.0, 20.0, bound=at_least(25.0))["found"]
    assert [case["reached"] for case in cases] == [True, False]
    assert result("speed", 30.0)["found"][0]["reached"] is None


def test_what_is_missing_is_said_and_what_was_found_before_stays(capsys):
    measure = Measure("r", "R", "times", None, found(3.0, missing="R is not installed"))
    (one,) = report.collect([measure], quick=True)
    assert [case["value"] for case in one["found"]] == [3.0]
    assert capsys.readouterr().out.endswith("not measured: R is not installed\n")


def test_new_numbers_take_the_place_of_old_ones(tmp_path):
    keys = ["em-numpy", "speed"]
    page.write(tmp_path, [result("speed", 1.5), result("em-numpy", 20.0), result("gone", 9.0)], keys)
    page.write(tmp_path, [result("speed", 2.5)], keys)
    kept = json.loads((tmp_path / "results.json").read_text())
    assert [(one["key"], one["found"][0]["value"]) for one in kept] == [("em-numpy", 20.0), ("speed", 2.5)]
    text = (tmp_path / "index.md").read_text()
    assert "| The speed (`speed`) | d=1 | 2.5 times |" in text
    assert "9 times" not in text
    assert (tmp_path / "peers.png").stat().st_size > 0


def test_a_missed_figure_stands_out():
    rows = page.table([result("speed", 30.0, 20.0, bound=at_least(25.0))]).splitlines()
    assert [row.split(" | ")[4] for row in rows[2:]] == ["yes", "**no**"]


def test_numbers_have_three_digits():
    assert [page.number(x) for x in (0.03781, 1.0, 12.345, 123.45, 12345.6)] == [
        "0.0378",
        "1",
        "12.3",
        "123",
        "12,346",
    ]


def test_the_machine_has_no_name_and_no_path():
    told = str(machine.description())
    assert not re.search(rf"\b{re.escape(platform.node())}\b", told)
    assert "/" not in told


def test_keys_name_one_measurement_each():
    keys = [measure.key for measure in MEASURES]
    assert len(set(keys)) == len(keys)
    assert set(PROGRAMS) <= set(keys)


def test_unknown_keys_and_a_quick_page_are_refused(capsys, tmp_path):
    for words, message in (
        (["speeed"], "there is no measurement speeed"),
        (["--quick", "--write", "x"], "leave --quick"),
    ):
        with pytest.raises(SystemExit):
            report.main(words)
        assert message in capsys.readouterr().err


def test_without_r_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setattr(r.shutil, "which", lambda program: None)
    with pytest.raises(NotMeasured, match="Rscript is not installed"):
        r.demand.__wrapped__("flexmix")
