"""Compiler options: what kernels may rely on."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from moestat.kernels import compile as options
from moestat.kernels import jit
from moestat.kernels.compile import jit_exact


def _ratio(x, y):
    return x / y


def _is_nan(x):
    return x != x


def _is_infinite(x):
    return abs(x) == np.inf


@pytest.fixture(params=[jit, jit_exact], ids=["jit", "jit_exact"])
def compiled(request):
    return request.param


def test_division_by_zero_gives_infinity_not_an_error(compiled):
    """Loops stay free of branches: as NumPy, a kernel never raises on a division."""
    assert compiled(_ratio)(1.0, 0.0) == np.inf


def test_compiled_code_still_sees_nan(compiled):
    """Fast arithmetic must not assume that NaN never occurs."""
    assert compiled(_is_nan)(np.nan)


def test_compiled_code_still_sees_infinities(compiled):
    """A switched-off expert has a logit of -inf."""
    assert compiled(_is_infinite)(-np.inf)


# ------------------------------------------------------------------------- where compiled code is kept
@pytest.fixture
def folder_of(tmp_path, monkeypatch):
    """The folder that kernels of given sources would be kept in."""
    monkeypatch.setattr(options, "__file__", str(tmp_path / "compile.py"))

    def folder(**sources):
        for name, text in sources.items():
            (tmp_path / f"{name}.py").write_text(text)
        return options.cache_folder.__wrapped__()

    return folder


def test_the_same_sources_find_their_compiled_code_again(folder_of):
    assert folder_of(rows="x = 1") == folder_of(rows="x = 1")


def test_an_edit_of_any_kernel_starts_afresh(folder_of):
    """Numba does not notice an edited callee in another file."""
    assert folder_of(rows="x = 1", linear="y = 1") != folder_of(rows="x = 1", linear="y = 2")


@pytest.mark.parametrize("chosen", [False, True], ids=["default folder", "chosen folder"])
def test_compiling_leaves_numbas_settings_alone(chosen, tmp_path, monkeypatch):
    """Other code compiled by Numba in the same process keeps its own place."""
    folder = str(tmp_path) if chosen else ""
    monkeypatch.setattr(numba.config, "CACHE_DIR", folder)
    jit(_ratio)
    assert folder == numba.config.CACHE_DIR
