"""``moestat fit``: the same numbers as in Python, files that are complete, words that help."""

from __future__ import annotations

import json
import re
import shutil
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import moestat as ms
from moestat.cli.figures import FIGURES, PAGE
from moestat.cli.outputs import TEXTS, as_json, plain
from moestat.cli.voice import ExitCode
from tests.unit.cli.runs import moestat, refused, tone

FORMULA = "tuned ~ stretchratio"

#: The gate of this fit has one covariate, and no plane.
DRAWN = tuple(name for name in FIGURES if name != "gate_plane.png")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty directory with one file of rows."""
    monkeypatch.chdir(tmp_path)
    tone().to_csv("tone.csv", index=False)
    return tmp_path


@pytest.fixture(scope="module")
def python():
    """The same fit in Python."""
    return ms.moe(FORMULA, tone()).fit(n_starts=3, seed=4)


def fitted(*words):
    return moestat("fit", "tone.csv", FORMULA, "--starts", 3, "--seed", 4, *words)


# --------------------------------------------------------------------------------------- what is printed
def test_the_summary_is_that_of_python(python):
    run = fitted()
    assert (run.code, run.err) == (0, "")
    assert run.out == f"{python.summary()}\n"


def test_level_and_covariance_reach_the_summary(python):
    run = fitted("--level", 0.9, "--covariance", "sandwich")
    assert run.out == f"{python.summary(alpha=0.1, kind='sandwich')}\n"


def test_json_holds_the_numbers_of_python(python):
    found = json.loads(fitted("--json").out)
    assert (found["loglik"], found["bic"], found["icl"]) == (python.llf, python.bic, python.icl)
    assert found["formula"] == FORMULA
    assert found["seed"] == 4
    assert found["trusted"] is True
    assert found["verdict"] == str(python.certificate).splitlines()
    table = pd.DataFrame(found["parameters"]).set_index("name")
    expected = python.table()
    assert list(table.index) == list(expected.index)
    assert list(table["role"]) == list(expected["role"])
    for column in ("estimate", "std_err", "z", "p", "lower", "upper"):
        assert np.array_equal(table[column].astype(float), expected[column], equal_nan=True)


def test_quiet_prints_nothing():
    assert fitted("--quiet").out == fitted("-q").err == ""


def test_a_pipe_is_read(python):
    given = Path("tone.csv").read_bytes()
    run = moestat("fit", "-", FORMULA, "--starts", 3, "--seed", 4, given=given)
    assert run.out == f"{python.summary()}\n"


# --------------------------------------------------------------------------------------- the model
def test_settings_reach_the_model():
    frame = tone().assign(w=np.tile([1.0, 2.0], 75), known=0.5)
    frame.to_csv("weighted.csv", index=False)
    run = moestat(
        *("fit", "weighted.csv", "tuned ~ stretchratio | 1", "-k", 3, "--expert", "gaussian(variance='common')"),
        *("--weights", "w", "--offset", "known", "--starts", 5, "--seed", 1, "--solver", "em_newton", "--json"),
    )
    model = ms.moe(
        "tuned ~ stretchratio | 1",
        frame,
        n_experts=3,
        expert="gaussian(variance='common')",
        weights="w",
        offset="known",
    )
    assert json.loads(run.out)["loglik"] == model.fit(n_starts=5, seed=1, solver="em_newton").llf


def test_fields_are_held_and_bounded():
    run = fitted("--fix", "gate.slopes=0", "--bound", "expert.variances=0.01:", "--bound", "expert.slopes=2", "--json")
    model = ms.moe(FORMULA, tone(), fixed={"gate.slopes": 0})
    results = model.fit(n_starts=3, seed=4, bounds={"expert.variances": (0.01, None), "expert.slopes": 2})
    found = json.loads(run.out)
    assert found["loglik"] == results.llf
    assert found["status"] == results.certificate.status.value
    assert {row["name"] for row in found["parameters"] if row["role"] == "held"} == set(
        results.held[results.held].index
    )


def test_classes():
    frame = ms.datasets.load("anes96").frame
    frame.to_csv("voters.csv", index=False)
    run = moestat("fit", "voters.csv", "party ~ selfLR | income", "--expert", "multinomial", "--starts", 2, "--json")
    results = ms.moe("party ~ selfLR | income", frame, expert="multinomial").fit(n_starts=2)
    assert json.loads(run.out)["loglik"] == results.llf
    assert json.loads(run.out)["classes"] == ["Democrat", "Independent", "Republican"]


def test_counts_with_an_exposure_from_the_fit_to_predictions():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.standard_normal(120), "t": rng.uniform(1.0, 5.0, 120)})
    frame["y"] = rng.poisson(frame.t * np.exp(0.3 + 0.5 * frame.x))
    frame.to_csv("counts.csv", index=False)
    options = ("--expert", "poisson", "--experts", 1, "--exposure", "t")
    run = moestat("fit", "counts.csv", "y ~ x", *options, "--out", "rates", "--json")
    results = ms.moe("y ~ x", frame, expert="poisson", n_experts=1, exposure="t").fit()
    assert json.loads(run.out)["loglik"] == results.llf
    moestat("predict", "rates", "counts.csv", "--out", "means.csv")
    np.testing.assert_allclose(pd.read_csv("means.csv")["mean"], results.predict(frame), rtol=1e-9)
    frame.drop(columns="t").to_csv("without.csv", index=False)
    assert "'t'" in refused("predict", "rates", "without.csv")


def test_rows_with_missing_entries_are_dropped_on_request():
    frame = tone()
    frame.loc[[3, 9], "stretchratio"] = np.nan
    frame.to_csv("gaps.csv", index=False)
    assert "2 of 150 rows have missing entries, in stretchratio (2)" in refused("fit", "gaps.csv", FORMULA)
    found = json.loads(moestat("fit", "gaps.csv", FORMULA, "--missing", "drop", "--starts", 2, "--json").out)
    assert (found["rows"], found["rows_dropped"]) == (148, 2)


def test_starts_may_be_automatic():
    found = json.loads(moestat("fit", "tone.csv", FORMULA, "--starts", "auto", "--json").out)
    assert found["certificate"]["n_starts"] % 10 == 0


# --------------------------------------------------------------------------------------- files
@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder as the command leaves it, figures and all."""
    folder = tmp_path_factory.mktemp("written")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        tone().to_csv("tone.csv", index=False)
        run = fitted("--out", "fit")
    assert run.code == 0
    assert run.err == f"Written to fit: {', '.join((*TEXTS, *DRAWN))}\n"
    return folder / "fit"


@pytest.fixture
def out(folder, written):
    """A copy of it in the working directory."""
    return shutil.copytree(written, folder / "fit")


def test_the_folder_is_complete(out):
    assert sorted(path.name for path in out.iterdir()) == sorted((*TEXTS, *DRAWN))
    assert all(path.stat().st_size > 100 for path in out.iterdir())


def test_the_model_is_that_of_python(out, python):
    loaded = ms.load(out / "model.npz")
    pd.testing.assert_series_equal(loaded.estimates, python.estimates, check_exact=True)
    assert np.array_equal(loaded.predict(tone()), python.predict(tone()))


def test_the_parameters_are_those_of_python(out, python):
    table = pd.read_csv(out / "parameters.csv", index_col="name")
    expected = python.table().astype({"role": str})
    pd.testing.assert_frame_equal(table.astype({"role": expected["role"].dtype}), expected, check_exact=True)
    found = json.loads((out / "parameters.json").read_text())
    assert found == json.loads(fitted("--json").out)


def test_the_summaries_are_those_of_python(out, python):
    assert (out / "summary.txt").read_text() == f"{python.summary()}\n"
    page = (out / "summary.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert page.count("<table") == len(python.summary().tables)
    assert all(line in page for line in str(python.certificate).splitlines() if "'" not in line)
    assert f'src="{PAGE}"' in page


def test_names_of_columns_are_no_markup(folder):
    tone().rename(columns={"stretchratio": "<b>x</b>"}).to_csv("marked.csv", index=False)
    assert moestat("fit", "marked.csv", "tuned ~ `<b>x</b>`", "--starts", 2, "--out", "fit", "--no-figures").code == 0
    page = (folder / "fit" / "summary.html").read_text()
    assert "<b>" not in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page


def test_figures_are_left_out_on_request(folder):
    assert fitted("--out", "fit", "--no-figures").code == 0
    assert sorted(path.name for path in (folder / "fit").iterdir()) == sorted(TEXTS)
    assert "<img" not in (folder / "fit" / "summary.html").read_text()


def test_two_covariates_of_the_gate_span_a_plane(folder):
    tone().assign(z=np.arange(150.0) % 7).to_csv("two.csv", index=False)
    assert moestat("fit", "two.csv", "tuned ~ stretchratio + z", "--starts", 2, "--out", "fit", "-q").code == 0
    assert (folder / "fit" / "gate_plane.png").exists()


def test_a_figure_that_a_fit_does_not_have_is_left_out(folder, monkeypatch):
    from moestat import plotting

    def none(results):
        raise ValueError("there is nothing to show.")

    monkeypatch.setattr(plotting, "plot_density", none)
    run = fitted("--out", "fit")
    assert run.code == 0
    assert "Warning: density.png is left out: there is nothing to show." in run.err
    assert "density.png," not in run.err.splitlines()[-1]
    assert not (folder / "fit" / "density.png").exists()


def test_an_earlier_fit_is_not_lost(out):
    (out / "notes.md").write_text("mine")
    before = {path: path.read_bytes() for path in out.iterdir()}
    assert "Pass --overwrite" in refused("fit", "tone.csv", FORMULA, "--out", "fit")
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_an_earlier_fit_is_replaced_on_request_and_nothing_else(out):
    (out / "notes.md").write_text("mine")
    assert fitted("--out", "fit", "--overwrite", "--no-figures", "-k", 1).code == 0
    assert sorted(path.name for path in out.iterdir()) == sorted((*TEXTS, "notes.md"))
    assert ms.load(out / "model.npz").model.n_experts == 1


def test_nothing_is_written_when_the_fit_fails(folder):
    refused("fit", "tone.csv", "tuned ~ nothing", "--out", "fit")
    assert [path.name for path in folder.iterdir()] == ["tone.csv"]


def test_no_folder_is_left_when_writing_fails(folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "model.npz")

    monkeypatch.setattr("moestat.results.Results.save", full)
    refused("fit", "tone.csv", FORMULA, "--starts", 2, "-q", "--out", "fit", "--no-figures")
    assert not (folder / "fit").exists()


def test_nothing_is_lost_when_writing_fails(out, monkeypatch):
    before = {path: path.read_bytes() for path in out.iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device", "summary.html")

    monkeypatch.setattr("moestat.cli.outputs._page", full)
    assert "summary.html cannot be read or written: No space left on device" in refused(
        "fit", "tone.csv", FORMULA, "--starts", 2, "-q", "--out", "fit", "--overwrite", "--no-figures"
    )
    assert {path: path.read_bytes() for path in out.iterdir()} == before


# --------------------------------------------------------------------------------------- verdicts
def test_an_untrusted_optimum_has_a_code_of_its_own():
    """Two segments with a gap: the gate separates them."""
    x = np.r_[np.linspace(0, 1, 30), np.linspace(2, 3, 30)]
    rng = np.random.default_rng(0)
    y = np.where(x < 1.5, x, 5 - x) + 0.1 * rng.normal(size=60)
    pd.DataFrame({"y": y, "x": x}).to_csv("gap.csv", index=False)
    run = moestat("fit", "gap.csv", "y ~ x", "--starts", 5, "--out", "fit", "--no-figures")
    assert run.code == ExitCode.UNTRUSTED == 3
    assert run.err.startswith("Warning: The fit ended at")
    assert "results.certificate" not in run.err
    assert Path("fit", "model.npz").exists()
    quiet = moestat("fit", "gap.csv", "y ~ x", "--starts", 5, "-q")
    assert (quiet.code, quiet.out, quiet.err) == (3, "", "")


def test_what_is_not_available_is_null():
    assert json.loads(as_json(plain({"a": [np.nan, np.inf, np.float64(1.5)], "b": (True, None)}))) == {
        "a": [None, None, 1.5],
        "b": [True, None],
    }


def test_an_interruption_leaves_nothing(folder, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("moestat.formula.fit", interrupt)
    run = fitted("--out", "fit")
    assert (run.code, run.err) == (ExitCode.INTERRUPTED, "Interrupted. Nothing was written.\n")
    assert not (folder / "fit").exists()


# --------------------------------------------------------------------------------------- errors
@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ('"1,274.5"', r"thousands separator in 40 of 40 rows, such as '1,274.5'. Pass --thousands ','"),
        ('"1,5"', r"decimal comma in 40 of 40 rows, such as '1,5'. Pass --decimal ','"),
        ('"1,274"', r"such as '1,274'. Pass --thousands ',' or --decimal ','"),
        ("n.a.", r"text among its numbers in 10 of 40 rows, such as 'n.a.'. Correct the file, or pass --na 'n.a.'"),
    ],
)
def test_spoilt_numbers_say_which_option_reads_them(entries, words):
    rng = np.random.default_rng(0)
    rows = [f"{y},{entries if entries != 'n.a.' or i % 4 == 0 else i}" for i, y in enumerate(rng.normal(size=40))]
    Path("spoilt.csv").write_text("\n".join(["y,x", *rows]))
    assert re.search(words, refused("fit", "spoilt.csv", "y ~ x"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("tuned", "/home/me", "stretchratio"), r"in quotes: \"y ~ x \| z\"; got 'tuned /home/me stretchratio'"),
        (("tuned stretchratio",), r"with a ~, in quotes"),
        (("tuned ~ strechratio",), r"it has 'stretchratio', 'tuned'. Did you mean 'stretchratio'\?"),
        (("tuned ~ exec('1')",), r"there is no function exec"),
        ((FORMULA, "--experts", 0), r"--experts must be a whole number of at least 1; got 0"),
        ((FORMULA, "--experts", 200), r"only 149 distinct rows, fewer than --experts 200"),
        (
            (FORMULA, "--gate", "softmx"),
            r"gate must be one of \[.*'softmax'.*\]; got 'softmx'. Did you mean 'softmax'\?",
        ),
        ((FORMULA, "--expert", "gaussian(var=1)"), r"its settings are variance"),
        ((FORMULA, "--expert", "multinomial"), r"For a continuous response choose another expert"),
        ((FORMULA, "--starts", "many"), r"--starts must be a whole number of at least 1, or auto; got 'many'"),
        ((FORMULA, "--starts", 0), r"--starts must be a whole number of at least 1"),
        ((FORMULA, "--seed", -1), r"seed must be a whole number of at least 0; got -1"),
        ((FORMULA, "--bound", "gate.slope=5"), r"'gate.slope'; the model has: gate.intercepts, gate.slopes"),
        ((FORMULA, "--bound", "gate.slopes"), r"as in --bound gate.slopes=-5:5; got 'gate.slopes'"),
        ((FORMULA, "--bound", "gate.slopes=a:b"), r"--bound gate.slopes must be given numbers; got 'a'"),
        ((FORMULA, "--fix", "gate.slopes=0", "--fix", "gate.slopes=1"), r"--fix names the field 'gate.slopes' twice"),
        ((FORMULA, "--fix", "gate.slopes=x"), r"--fix gate.slopes must be given numbers; got 'x'"),
        ((FORMULA, "--solver", "newtn"), r"must be one of 'em', .*; got 'newtn'\.$"),
        ((FORMULA, "--level", 95), r"--level must lie between 0 and 1, as 0.95 does; got 95"),
        ((FORMULA, "--weights", "w"), r"no column 'w'; it has 'stretchratio', 'tuned'"),
        ((FORMULA, "--out", "tone.csv"), r"--out must be a folder; 'tone.csv' is a file"),
    ],
)
def test_errors_say_what_to_type(words, message):
    assert re.search(message, refused("fit", "tone.csv", *words))


def test_errors_of_usage_show_the_usage():
    run = moestat("fit", "tone.csv", FORMULA, "--experts", "two")
    assert run.code == 2
    assert "Usage" in run.err


# --------------------------------------------------------------------------------------- several responses
@pytest.mark.parametrize("left", ["FL + RW", "cbind(FL, RW)"])
def test_several_responses(folder, left):
    """The numbers of arrays; predictions have a column for each; figures of one response are not drawn."""
    crabs = ms.datasets.load("crabs").frame
    crabs.to_csv("crabs.csv", index=False)
    words = ("--expert", "multivariate_gaussian", "--starts", 2, "--out", "fit")
    run = moestat("fit", "crabs.csv", f"{left} ~ CL", *words)
    assert run.code in (0, ExitCode.UNTRUSTED)
    assert "left out" not in run.err
    arrays = ms.fit(ms.MixtureOfExperts(expert="multivariate_gaussian"), crabs[["CL"]], crabs[["FL", "RW"]], n_starts=2)
    results = ms.load("fit/model.npz")
    assert np.array_equal(results.theta, arrays.theta)
    assert {path.name for path in (folder / "fit").iterdir()} == {*TEXTS, "starts.png", "trace.png"}
    assert "<img" not in (folder / "fit" / "summary.html").read_text()
    assert json.loads((folder / "fit" / "parameters.json").read_text())["response"] == ["FL", "RW"]
    moestat("predict", "fit", "crabs.csv", "--experts", "--density", "--out", "found.parquet")
    found = pd.read_parquet("found.parquet")
    assert np.array_equal(found[["mean[FL]", "mean[RW]"]], arrays.predict(crabs[["CL"]]))
    assert np.array_equal(found["log_density"], arrays.log_density(crabs[["CL"]], crabs[["FL", "RW"]]))


def test_an_expert_for_one_response_refuses_several(folder):
    pd.DataFrame({"x": [1.0, 2.0, 3.0], "a": [1, 2, 4], "b": [1, 0, 2]}).to_csv("two.csv", index=False)
    run = moestat("fit", "two.csv", "a + b ~ x")
    assert run.code == ExitCode.BAD_INPUT
    assert "the gaussian expert models one response" in run.err


# --------------------------------------------------------------------------------------- least squares
SQUARES = ("--objective", "least_squares", "--experts", 1)


@pytest.fixture(scope="module")
def squares():
    return ms.moe(FORMULA, tone(), n_experts=1).fit(n_starts=3, seed=4, objective="least_squares")


def test_least_squares_are_those_of_python(squares):
    run = fitted(*SQUARES)
    assert (run.code, run.err) == (0, "")
    assert run.out == f"{squares.summary()}\n"
    found = json.loads(fitted(*SQUARES, "--covariance", "classical", "--json").out)
    assert (found["objective"], found["rss"], found["rsquared"]) == ("least_squares", squares.rss, squares.rsquared)
    assert found["covariance"] == "classical"
    assert "loglik" not in found
    errors = {entry["name"]: entry["std_err"] for entry in found["parameters"] if entry["role"] == "estimated"}
    assert errors == dict(squares.standard_errors("classical"))


def test_a_folder_of_least_squares_leaves_pictures_of_densities_out(folder, squares):
    run = fitted(*SQUARES, "--out", "fit")
    assert run.code == 0
    assert "left out" not in run.err
    written = {path.name for path in (folder / "fit").iterdir()}
    assert written == {*TEXTS, *DRAWN} - {"density.png", "responsibilities.png"}
    assert ms.load("fit/model.npz").rss == squares.rss
    table = pd.read_csv(StringIO(moestat("predict", "fit", "tone.csv", "--covariance", "hc1").out))
    assert list(table.columns) == ["mean", "mean_se", "mean_ci_lower", "mean_ci_upper"]
    np.testing.assert_allclose(table["mean_se"], squares.get_prediction(tone(), kind="hc1").se, rtol=1e-12)


def test_covariances_of_the_other_objective_are_refused():
    said = refused("fit", "tone.csv", FORMULA, *SQUARES, "--covariance", "opg")
    assert "least squares fit must be one of sandwich, hc1, classical; got opg" in said
    said = refused("fit", "tone.csv", FORMULA, "--covariance", "hc1")
    assert "likelihood fit must be one of observed, opg, sandwich; got hc1" in said
