"""Files of rows: what can be read, and what is said of the rest."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from moestat.cli.dialects import Reading
from moestat.cli.tables import check_writable, read_table, write_table
from moestat.errors import InputError, MoestatWarning

FRAME = pd.DataFrame({"x": [1.0, 1 / 3, -2e-300], "g": ["a", "b", "a"]})


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.txt", "t.csv.gz", "T.CSV", "t.tar.csv", "t.parquet", "t.pq"])
def test_what_was_written_is_read(name):
    write_table(FRAME, name)
    read = read_table(name, Reading())
    assert list(read["g"]) == list(FRAME["g"])
    np.testing.assert_allclose(read["x"], FRAME["x"], rtol=1e-15)


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ("x;g\n1,5;a\n", Reading(sep=";", decimal=",")),
        ("x\tg\n1.5\ta\n", Reading(sep="\\t")),
        ("\ufeffx,g\n1.5,a\n", Reading()),
        ("x, g\n1.5, a\n", Reading()),
        ("x,g\r\n1.5,a\r\n", Reading()),
        ("x , g\n1.5,a \n", Reading()),
        ("x,g\n1.5,a,\n", Reading()),
        (",x,g\n7,1.5,a\n", Reading()),
        ("x  g\n1.5   a\n", Reading(sep="\\s+")),
    ],
)
def test_dialects(text, reading):
    Path("t.csv").write_text(text)
    assert read_table("t.csv", reading)[["x", "g"]].to_dict("records") == [{"x": 1.5, "g": "a"}]


def test_a_delimiter_at_the_end_of_every_row_shifts_no_column():
    """pandas would take the first field for the row's name, and every column for its neighbour."""
    Path("t.csv").write_text("id,y,x\n0,1.5,2.5,\n1,3.5,4.5,\n")
    assert read_table("t.csv", Reading()).to_dict("list") == {"id": [0, 1], "y": [1.5, 3.5], "x": [2.5, 4.5]}


def test_names_of_rows_are_no_column():
    Path("t.csv").write_text("y,x\nfirst,1.5,2.5\nsecond,3.5,4.5\n")
    with pytest.warns(MoestatWarning, match="no name for its first column"):
        table = read_table("t.csv", Reading())
    assert table.to_dict("list") == {"y": [1.5, 3.5], "x": [2.5, 4.5]}


def test_columns_that_are_text_stay_text():
    Path("t.csv").write_text("x,flag\n1,True\n")
    assert read_table("t.csv", Reading(), ["flag", "absent"])["flag"].tolist() == ["True"]


def test_text_that_others_take_for_missing():
    Path("t.csv").write_text("x,region\n1,NA\n,EU\n")
    table = read_table("t.csv", Reading(keep_na=True))
    assert table["region"].tolist() == ["NA", "EU"]
    assert table["x"].isna().tolist() == [False, True]


def test_thousands():
    Path("t.csv").write_text('x\n"1,274.5"\n637\n')
    assert read_table("t.csv", Reading(thousands=","))["x"].tolist() == [1274.5, 637.0]


def test_other_encodings():
    Path("t.csv").write_bytes("g\nMüller\n".encode("latin-1"))
    assert read_table("t.csv", Reading(encoding="latin-1"))["g"].tolist() == ["Müller"]
    with pytest.raises(InputError, match=r"not written in UTF-8\. Try --encoding latin-1"):
        read_table("t.csv", Reading())


def test_unicode_text_of_a_spreadsheet():
    Path("t.csv").write_text("x\tg\n1.5\ta\n", encoding="utf-16")
    with pytest.raises(InputError, match=r"written in UTF-16\. Pass --encoding utf-16"):
        read_table("t.csv", Reading())
    assert read_table("t.csv", Reading(sep="\\t", encoding="utf-16")).to_dict("list") == {"x": [1.5], "g": ["a"]}


def test_an_empty_delimiter():
    with pytest.raises(InputError, match=r"--sep must not be empty; for blanks pass --sep '\\s\+'"):
        Reading(sep="")


def test_entries_that_mean_missing():
    Path("t.csv").write_text("x,g\n1.5,-\n-9,a\n,b\n")
    assert read_table("t.csv", Reading(na=["-9", "-"])).isna().to_numpy().tolist() == [
        [False, True],
        [True, False],
        [True, False],
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t.csv is empty. The first line must hold the names"),
        ("a;b\n1;2\n", "one column, 'a;b'. Pass --sep ';'"),
        ("a\tb\n1\t2\n", r"Pass --sep '\\t'"),
        ("a;b\n1,5;2\n", r"one column, 'a;b'\. Pass --sep ';'"),
        ("a b\n1 2\n", r"one column, 'a b'\. Pass --sep '\\s\+'"),
        ("a,b\n", r"t\.csv has names of columns, but no rows"),
        ("1.5,2\n3,4\n", r"must hold the names of the columns; it holds numbers, '1\.5' first"),
        ("# made today\na,b\n", r"must begin with the names of the columns; got the comment '# made today'"),
        ("a,b\n1,2,3\n4,5\n", r"rows of t\.csv have more fields than the 2 names"),
        ("a,b\n1\n2,3,4\n", r"cannot be read as CSV \(Expected 2 fields in line 3, saw 3\)"),
    ],
)
def test_text_that_is_no_table(text, message):
    Path("t.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_table("t.csv", Reading())


def test_unknown_endings_and_encodings():
    for name in ("t.xlsx", "t"):
        Path(name).touch()
        with pytest.raises(InputError, match=r"Save the table as CSV"):
            read_table(name, Reading())
    Path("t.csv").write_text("a\n1\n")
    with pytest.raises(InputError, match=r"cannot be read as CSV .*unknown encoding"):
        read_table("t.csv", Reading(encoding="martian"))


def test_a_damaged_parquet_file():
    Path("t.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"t\.parquet cannot be read as Parquet"):
        read_table("t.parquet", Reading())


def test_a_missing_library_is_named(monkeypatch):
    write_table(FRAME, "t.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for attempt in (lambda: read_table("t.parquet", Reading()), lambda: write_table(FRAME, "u.parquet")):
        with pytest.raises(InputError, match=r"pip install 'moestat\[parquet\]'"):
            attempt()


def test_a_file_that_is_not_there():
    Path("tables.csv").touch()
    with pytest.raises(InputError, match=r"Tables in that folder: tables.csv. Did you mean 'tables.csv'\?"):
        read_table("table.csv", Reading())
    with pytest.raises(InputError, match=r"write it with: moestat datasets tone --out tone\.csv"):
        read_table("tone.csv", Reading())
    with pytest.raises(InputError, match=r"there is no file 'no/where\.csv'"):
        read_table("no/where.csv", Reading())


def test_a_place_to_write(folder):
    check_writable("new.csv", overwrite=False)
    (folder / "d.csv").mkdir()
    with pytest.raises(InputError, match=r"--out must be a file; 'd\.csv' is a folder"):
        check_writable("d.csv", overwrite=True)
