"""Files from strangers: whatever is in them, they are read or refused with a place, within limits, and never run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moestat.errors import InputError
from moestat.montecarlo import Study, run
from moestat.montecarlo.toml_text import MAX_BYTES, MAX_LINE, parse, read_file
from tests.unit.montecarlo.written import (
    PATHS,
    TEXT,
    VALUES,
    changed,
    checked,
    complaint,
    paths,
    study_of,
    tables,
    without,
)

CODE = "__import__('os').system('exit 1')"

#: Memory of the process that reads 20,000 spoilt files, in bytes; an empty one with the package needs a third of it.
MEMORY = 3 * 2**30


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What code in a file would call is not called."""

    def ran(*args: Any, **options: Any) -> None:
        raise AssertionError(f"something was run: {args}")

    monkeypatch.setattr(os, "system", ran)


def refused(spoilt: dict[str, Any]) -> bool:
    """Whether tables are refused, as they have to be, or taken."""
    try:
        study_of(spoilt)
    except InputError as error:
        checked(str(error))
        return True
    return False


def spoil(text: str, cuts: list[tuple[str, int, str]]) -> str:
    """A text with pieces removed, doubled, moved and put in."""
    for how, place, piece in cuts:
        at = place % (len(text) + 1)
        lines = text.split("\n")
        line = place % len(lines)
        if how == "insert":
            text = text[:at] + piece + text[at:]
        elif how == "delete":
            text = text[:at] + text[at + 1 + place % 7 :]
        elif how == "drop line":
            text = "\n".join(lines[:line] + lines[line + 1 :])
        elif how == "double line":
            text = "\n".join([*lines[:line], lines[line], *lines[line:]])
        elif how == "value" and "=" in lines[line]:
            lines[line] = f"{lines[line].split('=')[0]}= {piece}"
            text = "\n".join(lines)
    return text


SIGNS = (
    '"',
    "'",
    '"""',
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    ".",
    ",",
    "#",
    "\n",
    "\r",
    "\r\n",
    "\x00",
    "\ufeff",
    "\ud800",
)
NUMBERS = (
    "nan",
    "-inf",
    "1e999",
    "0x" + "f" * 4000,
    "9" * 4000,
    "true",
    "1979-05-27T07:32:00Z",
    "07:32:00",
    "[[[[1]]]]",
)
DEEP = (
    "{a = {b = {c = 1}}}",
    "a.b.c = 1",
    "a" + ".a" * 1500 + " = 1\n",
    "[" * 900,
    "x" * 5000,
    "[truth]\n",
    "[[fit]]\n",
)
TEXTS = (CODE, "(" * 90 + "n" + ")" * 90, "9**9**9**9", "n if n else 0", "lambda: 0", "\\u0000")
WORDS = ("topk", "laplace", "multinomial", "hierarchical", "grid", "nested", "least_squares", "voronoi:merged")
PIECES = (*SIGNS, *NUMBERS, *DEEP, *(f'"{text}"' for text in (*TEXTS, *WORDS)))
CUTS = st.lists(
    st.tuples(
        st.sampled_from(["insert", "delete", "drop line", "double line", "value"]),
        st.integers(0, 10_000),
        st.sampled_from(PIECES) | st.text(max_size=10),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(cuts=CUTS)
def test_a_spoilt_text_is_read_or_refused_with_a_place(nothing_runs, cuts):
    complaint(spoil(TEXT, cuts))


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(path=st.sampled_from(PATHS), value=st.sampled_from(VALUES))
def test_a_value_of_another_kind_is_taken_or_refused_with_its_path(nothing_runs, path, value):
    refused(changed(path, value))


@pytest.mark.parametrize("path", paths(tables()), ids=str)
def test_a_missing_key_has_a_default_or_is_named(path):
    refused(without(path))


@pytest.mark.parametrize("path", [path for path in PATHS if isinstance(path[-1], str)], ids=str)
def test_an_unknown_key_beside_any_other_is_refused(path):
    if path[-1] in ("gate.slopes", "expert.variances"):
        match = r"^fit\[0\].*(gate.slops|unknown)"
    else:
        match = "gate_slops|gate_params|expert_params"
    with pytest.raises(InputError, match=match):
        study_of(changed((*path[:-1], "gate_slops"), 1.0))


def test_a_file_that_is_right_is_read():
    study = Study.from_text(TEXT)
    assert [cell.label for cell in study.cells][:2] == ["K3/mle/n=100", "K3/mle/n=200"]
    assert len(study.cells) == 8


@pytest.mark.parametrize("how", [lambda t: t.replace("\n", "\r\n"), lambda t: t + "\n" * 50], ids=["CRLF", "blank"])
def test_the_ends_of_lines_do_not_matter(how):
    assert [c.digest for c in Study.from_text(how(TEXT)).cells] == [c.digest for c in Study.from_text(TEXT).cells]


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path):
    file = tmp_path / "study.toml"
    file.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    assert len(Study.from_toml(file).cells) == 8


HOSTILE = {
    "long line": ("# " + "a" * MAX_LINE, "line 1 has"),
    "too much": ("a = 1\n" * MAX_BYTES, "at most"),
    "half a character": (TEXT + "# \ud800", "surrogate"),
    "NUL": (TEXT + "\x00", "no TOML"),
    "NUL in a text": (TEXT.replace("Over-spec", "\\u0000"), "^study.title.*control"),
    "deep list": ("a = " + "[" * 1500 + "]" * 1500, "no TOML that can be read|nested"),
    "less deep list": ("a = " + "[" * 60 + "]" * 60, "nested more than"),
    "deep table": ("a" + ".a" * 1500 + " = 1", "nested more than"),
    "deep header": ("[" + "a." * 1500 + "a]", "nested more than"),
    "huge number": (TEXT.replace("seed = 7", "seed = " + "9" * 4000), "^study.seed.*64 bits"),
    "huge hexadecimal number": (TEXT.replace("seed = 7", "seed = 0x" + "f" * 4000), "^study.seed.*64 bits"),
    "huge exponent": (TEXT.replace("sd = 1.0", "sd = 1e999999"), r"^covariates.sd.*got inf"),
    "date": (TEXT.replace("seed = 7", "seed = 2026-01-01"), "^study.seed.*date"),
    "long key": (TEXT.replace("n_starts", "n_starts" * 100), r"^protocol\[0\].n_starts.* is a key of more"),
    "twice": (TEXT + "\n[study]\n", "twice"),
    "nothing": ("", "^study is missing"),
    "code for a gate": (TEXT.replace('gate = "softmax"', f'gate = "{CODE}"'), "^truth: gate"),
    "code for a loss": (TEXT.replace('"voronoi",', f'"voronoi(r={CODE})",'), "^record: a loss is"),
    "code for a size": (TEXT.replace("0.005 * n**-0.083", CODE), r"^protocol\[1\].start.sd"),
    "a tower of powers": (TEXT.replace("0.005 * n**-0.083", "9**9**9**9**9"), r"^protocol\[1\].start.sd"),
    "a number of a loss": (TEXT.replace('"voronoi",', f'"voronoi(r={"9" * 3000})",'), "^record: a loss is"),
    "many models": (TEXT.replace("n_experts = 2", f"n_experts = [{', '.join(['2'] * 1001)}]"), r"^fit\[1\] stands for"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text(nothing_runs, name):
    text, said = HOSTILE[name]
    with pytest.raises(InputError, match=said) as found:
        Study.from_text(text)
    checked(str(found.value))


def test_bytes_that_are_no_text_and_files_that_are_none(tmp_path: Path):
    file = tmp_path / "study.toml"
    file.write_bytes(TEXT.encode() + b"\xff")
    with pytest.raises(InputError, match=rf"study.toml.*byte {len(TEXT)} is no UTF-8"):
        Study.from_toml(file)
    file.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(InputError, match="at most 65536 bytes"):
        read_file(file)
    for missing in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(InputError, match="there is no study file"):
            read_file(missing)


def test_a_limit_is_the_last_that_is_read():
    assert parse("#" * MAX_LINE) == {}
    assert parse(("#" * 63 + "\n") * (MAX_BYTES // 64)) == {}


def test_a_study_that_is_refused_leaves_no_store(tmp_path: Path):
    store = tmp_path / "study.db"
    for text, _ in HOSTILE.values():
        with pytest.raises(InputError):
            run(Study.from_text(text), store)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_twenty_thousand_spoilt_files_in_bounded_memory():
    found = subprocess.run(
        [sys.executable, "-m", "tests.unit.montecarlo.spoiling", "20000", str(MEMORY)],
        capture_output=True,
        text=True,
        env=os.environ | {"NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert found.returncode == 0, found.stderr[-3000:]
    read, refused_ = map(int, found.stdout.split())
    assert read + refused_ == 20_000
    assert min(read, refused_) > 500
