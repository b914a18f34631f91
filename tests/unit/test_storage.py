"""A saved fit comes back whole or not at all."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

import moestat as ms
from moestat import storage
from moestat.errors import InputError, RankDeficientWarning
from moestat.experts import Gaussian, Mixed
from moestat.gates import Softmax
from tests.unit.fitted import CASES, fit, fitted, two_lines

every_case = pytest.mark.parametrize("case", list(CASES))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fits")


@pytest.fixture(scope="module")
def loaded(folder):
    """The fit of a case, saved and loaded once."""

    @cache
    def load(case):
        return ms.load(fitted(case).results.save(folder / case))

    return load


@pytest.fixture
def file(tmp_path):
    return fitted("gate").results.save(tmp_path / "fit.npz")


# --------------------------------------------------------------------------------------- round trips
@every_case
def test_the_summary_is_the_same_text(loaded, case):
    assert loaded(case).summary().as_text() == fitted(case).results.summary().as_text()


@every_case
def test_predictions_are_the_same_bits(loaded, case):
    f = fitted(case)
    ours, again = f.results, loaded(case)
    assert np.array_equal(again.predict(f.X, f.Z), ours.predict(f.X, f.Z))
    assert np.array_equal(again.log_density(f.X, f.y, f.Z), ours.log_density(f.X, f.y, f.Z))
    assert np.array_equal(again.sample(f.X, f.Z), ours.sample(f.X, f.Z))


@pytest.mark.parametrize("kind", ["observed", "opg", "sandwich"])
@every_case
def test_covariances_are_the_same_bits(loaded, case, kind):
    pd.testing.assert_frame_equal(
        loaded(case).cov_params(kind), fitted(case).results.cov_params(kind), check_exact=True
    )


@every_case
def test_the_certificate_is_equal(loaded, case):
    ours, again = fitted(case).results.certificate, loaded(case).certificate
    assert again.to_dict() == ours.to_dict()
    assert str(again) == str(ours)


@every_case
def test_the_model_is_equal(loaded, case):
    ours, again = fitted(case).model, loaded(case).model
    assert (again.gate, again.expert, again.n_experts) == (ours.gate, ours.expert, ours.n_experts)
    assert (again.fixed is None) == (ours.fixed is None)


@pytest.mark.parametrize("table", ["starts", "trace", "held", "positive", "estimates"])
@every_case
def test_tables_are_equal(loaded, case, table):
    ours, again = getattr(fitted(case).results, table), getattr(loaded(case), table)
    assert again.equals(ours)


@every_case
def test_criteria_are_equal(loaded, case):
    for name in ("llf", "nobs", "df_model", "aic", "bic", "icl"):
        assert getattr(loaded(case), name) == getattr(fitted(case).results, name)


def test_held_values_survive(loaded):
    again = loaded("held")
    assert again.model == fitted("held").results.model
    assert again.model.fixed["gate.slopes"] == 0.0
    assert again.model.fixed["expert.variances"].tolist() == [0.4, 0.3]
    assert again.params == fitted("held").results.params


def test_a_tuple_of_families_survives(loaded):
    assert loaded("mixed").model.expert == Mixed((Gaussian(), Gaussian(variance="common")))


def test_a_tuple_of_one_family_survives(tmp_path):
    """Its fields are called otherwise than those of the family alone."""
    X, y = two_lines()
    results = fit(X, y, n_experts=1, expert=("gaussian",), fixed={"expert.0.variances": 2.0}).results
    assert ms.load(results.save(tmp_path / "one")).params == results.params


def test_a_refused_covariance_is_refused_again(tmp_path):
    X, y = two_lines()
    with pytest.warns(RankDeficientWarning, match="twin = x1"):
        results = fit(X.assign(twin=X["x1"]), y, n_experts=2, n_starts=2).results
    again = ms.load(results.save(tmp_path / "flat"))
    assert again.summary().as_text() == results.summary().as_text()
    with pytest.raises(ms.NotIdentifiedError, match="linearly related covariates: twin = x1"):
        _ = again.bse


def test_a_loaded_fit_can_be_saved_again(loaded, tmp_path):
    again = ms.load(loaded("gate").save(tmp_path / "again"))
    assert again.summary().as_text() == loaded("gate").summary().as_text()


# --------------------------------------------------------------------------------------- class labels
LABELS = {
    "str": ["no", "yes"],
    "int": [3, 7],
    "float": [1.0, 2.0],
    "bool": [False, True],
    "numpy int": np.array([3, 7]),
    "numpy int in an object array": np.array([np.int64(3), np.int64(7)], dtype=object),
    "categories in an order of their own": pd.Categorical(["yes", "no"], categories=["yes", "no"]),
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_class_labels_survive(tmp_path, labels):
    X, y = two_lines()
    high = (y > 3.0).astype(int)
    classes = pd.Series(labels)[high].reset_index(drop=True)
    results = fit(X, classes, n_experts=1, expert="multinomial").results
    again = ms.load(results.save(tmp_path / "labels"))
    assert again.schema.classes == results.schema.classes
    assert np.array_equal(again.sample(X), results.sample(X))
    assert np.array_equal(again.log_density(X, classes), results.log_density(X, classes))


def test_labels_that_no_file_can_hold_are_refused(tmp_path):
    X, y = two_lines()
    days = [date(2001, 5, 4 if high else 3) for high in y > 3.0]
    results = fit(X, np.array(days), n_experts=1, expert="multinomial").results
    with pytest.raises(InputError, match="only results with classes of strings or numbers can be saved"):
        results.save(tmp_path / "days")


# --------------------------------------------------------------------------------------- what is in the file
def test_nothing_is_pickled(file):
    with np.load(file, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    header = json.loads(arrays.pop("header").tobytes())
    assert header["format"] == "moestat-results"
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float64)}


def test_no_rows_are_stored(tmp_path):
    """A file of 200 times the rows is as large."""
    sizes = []
    for n in (50, 10_000):
        X, y = two_lines(n)
        sizes.append(fit(X, y, n_experts=1).results.save(tmp_path / str(n)).stat().st_size)
    assert sizes[1] < 1.1 * sizes[0]


@pytest.mark.parametrize(("name", "expected"), [("fit", "fit.npz"), ("fit.npz", "fit.npz"), ("a.b", "a.b.npz")])
def test_the_suffix_is_added_when_missing(tmp_path, name, expected):
    path = fitted("gate").results.save(tmp_path / name)
    assert path == tmp_path / expected
    assert path.exists()


def test_a_path_may_be_a_string(tmp_path):
    path = fitted("gate").results.save(str(tmp_path / "fit"))
    assert ms.load(str(path)).llf == fitted("gate").results.llf


# --------------------------------------------------------------------------------------- damage
def refused(path, message):
    with pytest.raises(InputError, match=message):
        ms.load(path)


def test_a_missing_file_is_refused(tmp_path):
    refused(tmp_path / "nothing.npz", r"there is no file .*nothing\.npz")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(file, share):
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    refused(file, "not a readable results file")


def test_a_flipped_byte_is_refused_or_harmless(file):
    """Some bytes carry nothing, such as dates; no other may pass unnoticed."""
    content = file.read_bytes()
    header, arrays = storage.read(file)
    refusals = 0
    for place in range(0, len(content), 3):
        file.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            got_header, got = storage.read(file)
        except InputError:
            refusals += 1
            continue
        assert got_header == header, place
        assert got.keys() == arrays.keys(), place
        assert all(np.array_equal(got[name], array) for name, array in arrays.items()), place
    assert refusals > 0.8 * len(content) / 3


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"not a zip", id="text"),
        pytest.param(np.arange(3.0).tobytes(), id="numbers"),
    ],
)
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "other.npz"
    path.write_bytes(content)
    refused(path, "not a readable results file")


def test_a_folder_is_refused(tmp_path):
    refused(tmp_path, "not a readable results file")


def test_an_array_file_is_refused(tmp_path):
    np.save(tmp_path / "array.npy", np.zeros(3))
    refused(tmp_path / "array.npy", "not a readable results file")


@pytest.mark.parametrize(
    "header",
    [
        pytest.param({}, id="none"),
        pytest.param({"header": np.frombuffer(b"{", dtype=np.uint8)}, id="half"),
        pytest.param({"header": np.frombuffer(b"\xff\xfe", dtype=np.uint8)}, id="not text"),
        pytest.param({"header": np.frombuffer(b"[1]", dtype=np.uint8)}, id="a list"),
        pytest.param({"header": np.frombuffer(b'{"format": "else"}', dtype=np.uint8)}, id="another format"),
    ],
)
def test_foreign_archives_are_refused(tmp_path, header):
    np.savez(tmp_path / "foreign.npz", theta=np.zeros(3), **header)
    refused(tmp_path / "foreign.npz", "not a (readable results file|file of fitted results)")


def test_pickled_objects_are_refused_unread(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was run",))

    header = np.array([Bomb()], dtype=object)
    np.savez(tmp_path / "objects.npz", header=header, theta=np.zeros(3))
    refused(tmp_path / "objects.npz", r"not a readable results file \(.*allow_pickle=False\)")


def test_another_version_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "VERSION", storage.VERSION + 1)
    path = fitted("gate").results.save(tmp_path / "future")
    monkeypatch.undo()
    refused(path, f"has format version {storage.VERSION + 1}; this moestat reads {storage.VERSION}")


def test_an_oversized_file_is_refused_before_it_is_unpacked(file, monkeypatch):
    monkeypatch.setattr(storage, "MAX_BYTES", 100)
    monkeypatch.setattr(np, "load", lambda *a, **k: pytest.fail("it was unpacked"))
    refused(file, r"unpacks to \d+ bytes, more than the limit of 100")


def test_an_array_that_claims_more_than_memory_holds_is_refused(tmp_path):
    path = tmp_path / "claims.npz"
    array = io.BytesIO()
    claim = {"descr": "<f8", "fortran_order": False, "shape": (2**58,)}
    np.lib.format.write_array_header_1_0(array, claim)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.npy", array.getvalue())
    refused(path, "not a readable results file")


# --------------------------------------------------------------------------------------- components of a user
@dataclass(frozen=True)
class Mine(Softmax):
    """A gate that moestat does not know."""

    sharpness: float = 1.0

    name: ClassVar[str] = "mine"


@pytest.fixture(scope="module")
def own(folder):
    """Results and file of a fit with a gate of the user's own."""
    results = fit(*two_lines(), n_experts=2, gate=Mine(sharpness=2.0)).results
    return results, results.save(folder / "own")


def test_an_unknown_gate_needs_its_model(own):
    refused(own[1], "holds a 'mine' component that moestat does not know; pass model=")


def test_with_its_model_an_unknown_gate_is_back(own):
    results, path = own
    again = ms.load(path, model=results.model)
    assert again.summary().as_text() == results.summary().as_text()


def test_another_model_is_refused(own):
    with pytest.raises(InputError, match=r"model must be the model of the fit, with 10 parameters; .* 15"):
        ms.load(own[1], model=ms.MixtureOfExperts(gate=Mine(), n_experts=3))


# --------------------------------------------------------------------------------------- without rows
@pytest.mark.parametrize(
    ("ask", "message"),
    [
        pytest.param(lambda r: r.check(), r"check\(\) needs the rows, which a loaded model does not hold", id="check"),
        pytest.param(lambda r: r.responsibilities(), "holds no rows: pass X", id="responsibilities"),
        pytest.param(lambda r: r.gate_weights(), "holds no rows: pass X", id="gate_weights"),
        pytest.param(lambda r: r.predict(), "holds no rows: pass X", id="predict"),
    ],
)
def test_a_loaded_fit_says_that_it_has_no_rows(loaded, ask, message):
    with pytest.raises(InputError, match=message):
        ask(loaded("gate"))


def test_a_loaded_fit_reads_new_rows(loaded):
    f = fitted("gate")
    assert np.array_equal(loaded("gate").responsibilities(f.X, f.y), f.results.responsibilities(f.X, f.y))
