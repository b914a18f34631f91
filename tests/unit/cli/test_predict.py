"""``moestat predict``: the same numbers as in Python, one row out for each row in."""

from __future__ import annotations

import json
import re
from functools import cache
from io import StringIO

import numpy as np
import pandas as pd
import pytest

import moestat as ms
from tests.unit.cli.runs import moestat, refused, tone

FORMULA = "tuned ~ stretchratio"


@cache
def model():
    return ms.moe(FORMULA, tone()).fit(n_starts=3)


@cache
def voters():
    frame = ms.datasets.load("anes96").frame
    return frame, ms.moe("party ~ selfLR | income", frame, expert="multinomial").fit(n_starts=2)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A saved model and rows to predict."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fit").mkdir()
    model().save("fit/model.npz")
    tone().head(7).to_csv("new.csv", index=False)
    return tmp_path


def predicted(*words):
    run = moestat("predict", "fit", "new.csv", *words)
    assert (run.code, run.err) == (0, "")
    return table(run.out)


def table(text):
    """The printed table, every digit of it: pandas may be off by one in the last bit."""
    frame = pd.read_csv(StringIO(text), dtype=str)
    return frame.apply(lambda column: column if column.name in ("class", "tuned") else column.astype(float))


# --------------------------------------------------------------------------------------- numbers
def test_predictions_are_those_of_python():
    expected = model().get_prediction(tone().head(7)).summary_frame()
    pd.testing.assert_frame_equal(predicted(), expected, check_exact=True)


def test_level_and_covariance_are_those_asked_for():
    expected = model().get_prediction(tone().head(7), kind="sandwich").summary_frame(alpha=1 - 0.5)
    pd.testing.assert_frame_equal(predicted("--level", 0.5, "--covariance", "sandwich"), expected, check_exact=True)


def test_more_columns_on_request():
    new = tone().head(7)
    found = predicted("--gate", "--experts", "--responsibilities", "--density")
    assert np.array_equal(found[["gate[1]", "gate[2]"]], model().gate_weights(new))
    assert np.array_equal(found[["expert[1].mean", "expert[2].mean"]], model().expert_means(new))
    assert np.array_equal(found[["responsibility[1]", "responsibility[2]"]], model().responsibilities(new))
    assert np.array_equal(found["log_density"], model().log_density(new))


def test_columns_of_the_table_are_kept():
    assert list(predicted("--keep", "tuned"))[:2] == ["tuned", "mean"]
    assert list(predicted("--keep", "all"))[:3] == ["stretchratio", "tuned", "mean"]


def test_no_response_is_needed():
    tone().head(7)[["stretchratio"]].to_csv("new.csv", index=False)
    assert len(predicted()) == 7
    assert "no column 'tuned'" in refused("predict", "fit", "new.csv", "--density")


def test_json_is_one_object_per_row():
    run = moestat("predict", "fit/model.npz", "new.csv", "--json")
    pd.testing.assert_frame_equal(pd.DataFrame(json.loads(run.out)), predicted(), check_exact=True)


def test_classes():
    frame, results = voters()
    results.save("voters.npz")
    frame.head(5).to_csv("new.csv", index=False)
    run = moestat("predict", "voters.npz", "new.csv", "--experts", "--responsibilities")
    found = table(run.out)
    new = frame.head(5)
    labels = ["Democrat", "Independent", "Republican"]
    assert np.array_equal(found[[f"mean[{label}]" for label in labels]], results.predict(new))
    assert list(found["class"]) == [labels[c] for c in results.predict(new).argmax(axis=1)]
    means = found[[f"expert[{k}].mean[{label}]" for k in (1, 2) for label in labels]]
    assert np.array_equal(means.to_numpy().reshape(5, 2, 3), results.expert_means(new))


def test_a_model_of_arrays_reads_columns_by_name():
    rng = np.random.default_rng(0)
    X, Z = pd.DataFrame({"a": rng.normal(size=90)}), pd.DataFrame({"z": rng.normal(size=90)})
    y = pd.Series(np.where(rng.random(90) < 0.5, X["a"], 3 - X["a"]) + 0.1 * rng.normal(size=90), name="y")
    results = ms.fit(ms.MixtureOfExperts(gate="softmax", expert="gaussian", n_experts=2), X, y, Z, n_starts=3)
    results.save("arrays.npz")
    pd.concat([Z, y, X], axis=1).to_csv("new.csv", index=False)
    found = table(moestat("predict", "arrays.npz", "new.csv", "--gate", "--density").out)
    assert np.array_equal(found["mean"], results.predict(X, Z))
    assert np.array_equal(found["log_density"], results.log_density(X, y, Z))
    assert np.array_equal(found[["gate[1]", "gate[2]"]], results.gate_weights(X, Z))


def test_several_responses_have_columns_each():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.normal(size=90)})
    Y = pd.DataFrame({"a": X["x"], "b": 3 - X["x"]}) + 0.1 * rng.normal(size=(90, 2))
    results = ms.fit(ms.MixtureOfExperts(expert="multivariate_gaussian", n_experts=1), X, Y)
    results.save("several.npz")
    pd.concat([X, Y], axis=1).to_csv("new.csv", index=False)
    found = table(moestat("predict", "several.npz", "new.csv", "--experts", "--density").out)
    assert np.array_equal(found[["mean[a]", "mean[b]"]], results.predict(X))
    assert np.array_equal(found[["expert[1].mean[a]", "expert[1].mean[b]"]], results.expert_means(X)[:, 0])
    assert np.array_equal(found["log_density"], results.log_density(X, Y))


def test_exposures_are_read_from_the_table():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"x": rng.random(80), "t": rng.integers(1, 9, 80)})
    rows["y"] = rng.poisson(rows["t"] * np.exp(1 + rows["x"]))
    rows.to_csv("counts.csv", index=False)
    moestat("fit", "counts.csv", "y ~ x", "--expert", "poisson", "--exposure", "t", "--experts", "1", "--out", "counts")
    results = ms.load("counts/model.npz")
    found = table(moestat("predict", "counts/model.npz", "counts.csv", "--experts", "--density").out)
    assert np.array_equal(found["mean"], results.predict(rows[["x"]], exposure=rows["t"]))
    assert np.array_equal(found["expert[1].mean"], found["mean"])
    assert np.array_equal(found["log_density"], results.log_density(rows))
    assert (found["obs_ci_lower"] % 1 == 0).all()


@pytest.mark.parametrize("term", ["offset", "exposure"])
def test_a_model_of_arrays_is_told_the_columns_of_known_terms(term):
    """Without them the command says which value it took: it would otherwise predict for one unit of exposure unseen."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"x": rng.random(80), "t": rng.integers(1, 9, 80).astype(float)})
    known = {term: rows["t"]} if term == "exposure" else {term: np.log(rows["t"])}
    rows["term"] = known[term]
    rows["y"] = rng.poisson(rows["t"] * np.exp(1 + rows["x"]))
    model = ms.MixtureOfExperts(expert="poisson", n_experts=1)
    results = ms.fit(model, rows[["x"]], rows["y"], **known)
    results.save("arrays.npz")
    rows.to_csv("new.csv", index=False)

    named = moestat("predict", "arrays.npz", "new.csv", f"--{term}", "term", "--experts", "--density")
    assert named.err == ""
    found = table(named.out)
    np.testing.assert_allclose(found["mean"], results.predict(rows[["x"]], **known), rtol=1e-12)
    np.testing.assert_allclose(found["expert[1].mean"], found["mean"], rtol=1e-12)
    np.testing.assert_allclose(
        found["log_density"], results.log_density(rows[["x"]], rows["y"], **known), rtol=1e-9, atol=1e-9
    )

    silent = moestat("predict", "arrays.npz", "new.csv")
    neutral = {"offset": 0, "exposure": 1}[term]
    assert f"predictions are for an {term} of {neutral}" in silent.err
    assert f"--{term} COLUMN" in silent.err
    np.testing.assert_allclose(table(silent.out)["mean"], results.predict(rows[["x"]]), rtol=1e-12)


def test_an_exposure_may_stand_in_another_column_than_in_the_fit():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"x": rng.random(80), "t": rng.integers(1, 9, 80)})
    rows["y"] = rng.poisson(rows["t"] * np.exp(1 + rows["x"]))
    rows.to_csv("counts.csv", index=False)
    moestat("fit", "counts.csv", "y ~ x", "--expert", "poisson", "--exposure", "t", "--experts", "1", "--out", "counts")
    rows.rename(columns={"t": "hours"}).to_csv("new.csv", index=False)
    found = table(moestat("predict", "counts", "new.csv", "--exposure", "hours").out)
    assert np.array_equal(found["mean"], table(moestat("predict", "counts", "counts.csv").out)["mean"])


def test_an_exposure_is_refused_where_the_expert_has_no_place_for_it():
    tone().assign(t=2.0).to_csv("timed.csv", index=False)
    assert "gaussian expert takes no exposure" in refused("predict", "fit", "timed.csv", "--exposure", "t")


# --------------------------------------------------------------------------------------- rows and files
def test_rows_with_missing_entries_are_empty_on_request():
    new = tone().head(4)
    new.loc[1, "stretchratio"] = np.nan
    new.to_csv("gaps.csv", index=False)
    assert "Fill them, or pass --missing blank" in refused("predict", "fit", "gaps.csv")
    run = moestat("predict", "fit", "gaps.csv", "--missing", "blank")
    assert run.err == "Warning: 1 of 4 rows has missing entries, in stretchratio (1); their predictions are empty.\n"
    found = table(run.out)
    assert found.isna().all(axis=1).tolist() == [False, True, False, False]
    assert np.array_equal(found["mean"].dropna(), model().predict(new.dropna()))


@pytest.mark.parametrize("name", ["p.csv", "p.tsv", "p.csv.gz", "p.parquet"])
def test_files_by_their_ending(name):
    from moestat.cli.dialects import Reading
    from moestat.cli.tables import read_table

    run = moestat("predict", "fit", "new.csv", "--out", name)
    assert (run.code, run.out) == (0, "")
    assert run.err.startswith(f"Written: {name}, 7 rows of mean, mean_se,")
    pd.testing.assert_frame_equal(read_table(name, Reading()), predicted(), check_exact=name.endswith("parquet"))


def test_a_file_is_not_lost(folder):
    (folder / "p.csv").write_text("mine")
    assert "p.csv exists. Pass --overwrite" in refused("predict", "fit", "new.csv", "--out", "p.csv")
    assert (folder / "p.csv").read_text() == "mine"
    assert moestat("predict", "fit", "new.csv", "--out", "p.csv", "--overwrite", "-q").err == ""
    assert len(pd.read_csv("p.csv")) == 7


# --------------------------------------------------------------------------------------- verdicts
def test_a_model_that_is_not_trusted_says_so():
    """The limits of two experts on one line cannot be told: no standard errors, and a code of its own."""
    x = np.r_[np.linspace(0, 1, 30), np.linspace(2, 3, 30)]
    y = np.where(x < 1.5, x, 5 - x) + 0.1 * np.random.default_rng(0).normal(size=60)
    pd.DataFrame({"y": y, "x": x}).to_csv("gap.csv", index=False)
    assert moestat("fit", "gap.csv", "y ~ x", "--starts", 5, "--out", "gap", "--no-figures").code == 3
    run = moestat("predict", "gap", "gap.csv")
    assert run.code == 3
    assert "Warning: the fit of this model ended at: " in run.err
    assert len(table(run.out)) == 60


# --------------------------------------------------------------------------------------- errors
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere", "new.csv"), r"there is no folder or file 'nowhere'. Make a model with: moestat fit"),
        ((".", "new.csv"), r"the folder '.' holds no model.npz"),
        (("new.csv", "fit"), r"MODEL, the first argument, must be the folder or the model.npz .*; got 'new.csv'"),
        (("fit", "old.csv"), r"there is no file 'old.csv'. Tables in that folder: new.csv"),
        (("fit", "new.csv", "--keep", "id"), r"no column 'id'"),
        (("fit", "new.csv", "--level", 0), r"--level must lie between 0 and 1"),
        (("fit", "new.csv", "--out", "p.xyz"), r"--out must end in .csv, .txt, .tsv, .tab, .parquet, .pq; got 'p.xyz'"),
        (("fit", "new.csv", "--out", "no/p.csv"), r"there is no folder 'no' to write p.csv to"),
        (("fit", "new.csv", "--out", "fit"), r"--out must end in"),
    ],
)
def test_errors_say_what_to_type(words, message):
    assert re.search(message, refused("predict", *words))


def test_a_column_that_is_missing_is_named():
    pd.DataFrame({"ratio": [1.0]}).to_csv("new.csv", index=False)
    assert "no column 'stretchratio'; it has 'ratio'" in refused("predict", "fit", "new.csv")


def test_levels_that_look_like_numbers_in_a_short_file(folder):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=90), "flag": rng.choice(["True", "False", "unknown"], 90)})
    frame["y"] = frame["x"] + rng.normal(size=90)
    frame.to_csv("flags.csv", index=False)
    assert moestat("fit", "flags.csv", "y ~ x + flag", "-k", 1, "-q", "--out", "flags", "--no-figures").code == 0
    (folder / "one.csv").write_text("x,flag\n0.5,True\n")
    assert moestat("predict", "flags", "one.csv").code == 0


def test_columns_and_predictions_of_one_name_are_refused():
    predicted("--keep", "all").to_csv("again.csv", index=False)
    assert "DATA's own column 'mean' would stand beside the prediction" in refused(
        "predict", "fit", "again.csv", "--keep", "all"
    )
    assert list(predicted("--keep", "tuned", "--keep", "tuned"))[:2] == ["tuned", "mean"]


def test_a_damaged_model_is_refused(folder):
    (folder / "bad.npz").write_bytes(b"no")
    assert "is not a readable results file" in refused("predict", "bad.npz", "new.csv")
