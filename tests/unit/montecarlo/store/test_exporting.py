"""An exported file holds the results to the last bit, and is the same for the same results."""

from __future__ import annotations

import csv
import sys

import numpy as np
import pandas as pd
import pytest

from moestat.errors import DamagedStoreError, InputError, MoestatError
from moestat.montecarlo.store import Store, read_export
from tests.unit.montecarlo.store.studies import CELLS, STUDY, VERSIONS, batch, cell, filled, row

KNOWN = (*CELLS, cell(10, "K9", columns=("loss", "gain")), cell(20, "K9"))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = filled(tmp_path_factory.mktemp("stores") / "store", KNOWN[:-1])
    with Store.open_or_create(path, STUDY, KNOWN) as store:  # the last cell has no rows yet
        yield store


def bits(frame):
    numbers = frame.select_dtypes("float")
    return numbers.to_numpy().tobytes(), frame.drop(columns=list(numbers)).astype(object).to_numpy().tolist()


def test_parquet_holds_the_results(store, tmp_path):
    found = read_export(store.export(tmp_path / "results.parquet"))
    assert list(found) == list(store.frame())
    for one in KNOWN:
        wanted = store.rows(one)
        part = found[(found["fit"] == one.fit) & (found["n"] == one.n)]
        assert part[list(one.columns)].to_numpy().tobytes() == wanted.numbers.tobytes()  # NaNs with their payload
        assert part["words"].tolist() == list(wanted.words)
        assert part["outcome"].tolist() == wanted.outcomes.tolist()
        assert part["status"].tolist() == wanted.statuses.tolist()
    assert found.attrs == {"digest": store.results_digest(), "study": STUDY, "versions": [VERSIONS]}
    assert pd.read_parquet(tmp_path / "results.parquet").shape == found.shape
    assert [file.name for file in tmp_path.iterdir()] == ["results.parquet"]


def test_csv_reads_back_as_it_was(store, tmp_path):
    store.export(tmp_path / "results.csv")
    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as file:
        head, *lines = csv.reader(file)
    expected = store.frame()
    assert head == list(expected)
    for name, texts in zip(head, zip(*lines, strict=True), strict=True):
        wanted = expected[name].tolist()
        if expected[name].dtype == float:
            assert list(map(repr, wanted)) == [repr(float(text or "nan")) for text in texts]
        else:
            assert list(map(str, wanted)) == list(texts)


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_the_same_results_give_the_same_bytes(store, tmp_path, suffix):
    rows = [row(one, r) for one in KNOWN[:-1] for r in range(20)]
    with Store.create(tmp_path / "other", STUDY, KNOWN[::-1]) as other:
        for start in range(0, len(rows), 3):
            other.append(batch(rows[::-1][start : start + 3], host="elsewhere"))
        two = other.export(tmp_path / f"two.{suffix}")
    assert store.export(tmp_path / f"one.{suffix}").read_bytes() == two.read_bytes()


def test_other_files_and_other_suffixes(store, tmp_path):
    with pytest.raises(InputError, match=r"must end in .parquet or .csv; got 'results.xlsx'"):
        store.export(tmp_path / "results.xlsx")
    with pytest.raises(InputError, match="there is no file"):
        read_export(tmp_path / "results.parquet")
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="not an export of a store"):
        read_export(tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_text("a letter")
    with pytest.raises(DamagedStoreError, match="export it again"):
        read_export(tmp_path / "b.parquet")


def test_without_pyarrow(store, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"pip install 'moestat\[parquet\]'"):
        store.export(tmp_path / "results.parquet")
    assert list(tmp_path.iterdir()) == []


def test_damaged_exports_are_refused(store, tmp_path):
    path = store.export(tmp_path / "results.parquet")
    data, expected, random = path.read_bytes(), bits(read_export(path)), np.random.default_rng(0)
    found = 0
    for i in range(150):
        changed = bytearray(data)
        at = int(random.integers(8 * len(data)))
        changed[at // 8] ^= 1 << at % 8
        path.write_bytes(changed if i < 120 else data[: at // 8])
        try:
            assert bits(read_export(path)) == expected
        except MoestatError:
            found += 1
    assert found > 100
