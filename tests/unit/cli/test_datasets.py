"""``moestat datasets``: a list, a card, a file."""

from __future__ import annotations

import pandas as pd
import pytest

from moestat.datasets import DATASETS
from tests.unit.cli.runs import moestat, refused, tone


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_all_are_listed():
    run = moestat("datasets")
    assert run.code == 0
    assert all(name in run.out for name in DATASETS)


@pytest.mark.parametrize("name", DATASETS)
def test_one_is_described(name):
    text = " ".join(moestat("datasets", name).out.split())
    assert DATASETS[name].source in text


def test_its_rows_are_written():
    run = moestat("datasets", "tone", "--out", "tone.csv")
    assert run.err == "Written: tone.csv, 150 rows of stretchratio, tuned\n"
    pd.testing.assert_frame_equal(pd.read_csv("tone.csv"), tone())
    assert "tone.csv exists. Pass --overwrite" in refused("datasets", "tone", "--out", "tone.csv")


def test_errors_say_what_to_type():
    assert "tone" in refused("datasets", "ton")
    assert "needs the name of a data set" in refused("datasets", "--out", "x.csv")
