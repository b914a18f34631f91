"""``moestat study new``: a file that runs as it stands, and whose other settings are valid too."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files

import pytest

from moestat.cli.study.new import skeleton
from moestat.montecarlo import Study
from moestat.montecarlo.covariates import LAWS
from moestat.montecarlo.protocols import PROTOCOLS
from tests.unit.cli.runs import moestat, refused

TEXT = skeleton("rates")

#: "Or" or "Also", what is said, and the lines that are switched off.
BLOCK = re.compile(r"^# (Or|Also): (.*)\n(?:# .*\n)*((?:#(?! ).*\n|#    .*\n)+)", re.MULTILINE)


def variants(text):
    """The text with one block switched on each time: in place of the lines of its table, or added to them."""
    tables = re.split(r"^(?=\[)", text, flags=re.MULTILINE)
    for i, table in enumerate(tables):
        for how, words, block in BLOCK.findall(table):
            head, *lines = [line for line in table.split("\n") if not line.startswith("#")]
            own = [head] if how == "Or" else [head, *lines]
            on = re.sub("^#", "", block, flags=re.MULTILINE)
            yield words, "\n".join(["".join(tables[:i]), *own, on, "".join(tables[i + 1 :])])


VARIANTS = dict(variants(TEXT))


def test_it_reads_as_it_stands():
    study = Study.from_text(TEXT)
    assert study.name == "rates"
    assert [fitted.model.n_experts for fitted in study.fits] == [study.truth.model.n_experts] == [2]


@pytest.mark.parametrize("words", VARIANTS)
def test_every_setting_that_is_switched_off_is_valid(words):
    """And means something: the study is another one then."""
    text = VARIANTS[words]
    assert tomllib.loads(text) != tomllib.loads(TEXT)
    assert Study.from_text(text).cells


def test_every_line_that_is_switched_off_was_tried():
    off = [line[1:] for line in TEXT.splitlines() if re.match(r"#[^ ]|#    ", line) and "moestat" not in line]
    tried = set("\n".join(VARIANTS.values()).splitlines())
    assert len(off) > 50
    assert [line for line in off if line not in tried] == []


def test_it_names_every_law_and_protocol():
    for name in (*LAWS, *PROTOCOLS):
        assert f'"{name}"' in TEXT


def test_it_comes_with_the_package():
    assert files("moestat.montecarlo").joinpath("skeleton.toml").is_file()


@pytest.mark.parametrize(
    ("given", "file", "name"),
    [("rates.toml", "rates.toml", "rates"), ("rates", "rates.toml", "rates"), ("a b's.toml", "a b's.toml", "a_b_s")],
)
def test_the_name_is_that_of_the_file(tmp_path, monkeypatch, given, file, name):
    monkeypatch.chdir(tmp_path)
    run = moestat("study", "new", given)
    assert (run.code, run.out) == (0, "")
    assert run.err.startswith(f"Written: {file}. ")
    assert "moestat study run " in run.err
    assert Study.from_toml(file).name == name


def test_without_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert moestat("study", "new", "-q").err == ""
    assert Study.from_toml("study.toml").name == "study"


def test_what_is_there_stays(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("mine")
    assert "exists. Pass --overwrite, or another STUDY" in refused("study", "new", file)
    assert file.read_text() == "mine"
    assert moestat("study", "new", file, "--overwrite").code == 0
    assert file.read_text() == skeleton("mine")


def test_places_that_cannot_be(tmp_path):
    assert "must end in .toml" in refused("study", "new", tmp_path / "study.db")
    assert "there is no folder" in refused("study", "new", tmp_path / "no" / "study.toml")
    (tmp_path / "folder.toml").mkdir()
    assert "is a folder" in refused("study", "new", tmp_path / "folder.toml")
