"""``moestat warmup``: kernels of the components asked for, and what was done."""

from __future__ import annotations

import re

from moestat import warming
from moestat.kernels.compile import kept_in
from moestat.warming import ALL_EXPERTS, ALL_GATES, COMMON_EXPERTS, COMMON_GATES
from tests.unit.cli.runs import moestat, refused


def asked(monkeypatch, *words):
    """The components that a command warms up, without the work."""
    seen = []

    def note(gates, experts, progress):
        seen.append((tuple(gates), tuple(experts)))
        return "done"

    monkeypatch.setattr(warming, "warmup", note)
    run = moestat("warmup", *words)
    assert (run.code, run.err) == (0, "")
    assert run.out == ("" if "-q" in words else "done\n")
    return seen[0]


def test_it_says_what_it_did():
    run = moestat("warmup", "--gate", "softmax", "--expert", "gaussian")
    assert (run.code, run.err) == (0, "")
    assert re.fullmatch(r"\d+ kernels compiled, \d+ were there, in \d+\.\d s\. They are kept in (.+)\n", run.out)
    assert run.out.endswith(f"{kept_in()}\n")


def test_which_components(monkeypatch):
    assert asked(monkeypatch) == (COMMON_GATES, COMMON_EXPERTS)
    assert asked(monkeypatch, "--all") == (ALL_GATES, ALL_EXPERTS)
    assert asked(monkeypatch, "--gate", "laplace", "-q") == (("laplace",), ())
    assert asked(monkeypatch, "--expert", "gamma", "--expert", "poisson") == ((), ("gamma", "poisson"))


def test_errors_say_what_to_type():
    assert "laplace" in refused("warmup", "--gate", "laplac")
    assert "--all leaves nothing" in refused("warmup", "--all", "--gate", "laplace")


def test_a_folder_that_cannot_be_written_is_told(monkeypatch, tmp_path):
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setattr(warming, "kept_in", lambda: file / "kernels")
    assert f"{file / 'kernels'} cannot be read or written" in refused("warmup")
