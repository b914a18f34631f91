"""``moestat study``: each command on a study that takes seconds, what it leaves, and what it refuses."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

import moestat as ms
from moestat import montecarlo
from moestat.cli.study.durations import seconds_of
from moestat.cli.study.places import shard_of, store_of
from moestat.errors import InputError
from moestat.montecarlo.engine import Shard
from moestat.montecarlo.store import Store
from tests.unit.cli.runs import moestat, refused
from tests.unit.cli.study.studies import TINY, digest, rows, written


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a study and its finished store."""
    folder = tmp_path_factory.mktemp("finished")
    run = moestat("study", "run", written(folder / "tiny.toml"))
    assert run.code == 0, run
    return folder, run


@pytest.fixture
def study(finished, tmp_path):
    """A copy of it, to be changed."""
    for name in ("tiny.toml", "tiny.db"):
        shutil.copy(finished[0] / name, tmp_path)
    return tmp_path / "tiny.toml"


# --------------------------------------------------------------------------------------- run
def test_a_run_says_what_it_did(finished):
    folder, run = finished
    assert run.out.startswith("8 rows added in ")
    assert f" s. {folder / 'tiny.db'} holds 8: 8 ok, 0 with an error, 0 crashed.\n" in run.out
    assert f"Nothing is missing. Next: moestat study report {folder / 'tiny.toml'}" in run.out
    assert run.err.startswith(f"tiny: 2 cells, 4 replications, {folder / 'tiny.db'}\n")
    assert "8 of 8 rows (100 %)" in run.err
    assert sorted(path.name for path in folder.iterdir()) == ["tiny.db", "tiny.toml"]


def test_what_is_there_is_not_run_again(study):
    before = digest(study.with_suffix(".db"))
    assert "0 rows added" in moestat("study", "run", study).out
    written(study, TINY.replace("replications = 4", "replications = 5"))
    assert "2 rows added" in moestat("study", "run", study).out
    written(study, TINY.replace("replications = 4", "replications = 5").replace("[60, 120]", "[60, 120, 150]"))
    assert "5 rows added" in moestat("study", "run", study).out
    assert digest(study.with_suffix(".db")) != before


def test_quiet_and_a_store_elsewhere(study, tmp_path):
    run = moestat("study", "run", study, "--store", tmp_path / "other.db", "--quiet")
    assert (run.code, run.out, run.err) == (0, "", "")
    assert digest(tmp_path / "other.db") == digest(study.with_suffix(".db"))


def test_a_new_installation_says_what_it_waits_for(study, tmp_path, monkeypatch):
    assert "compiled" not in moestat("study", "run", study).err
    monkeypatch.setattr("moestat.kernels.compile.kept_in", lambda: tmp_path / "nothing")
    assert moestat("study", "run", study).err.startswith("Kernels are compiled first, once for this installation")


def test_two_workers_give_the_same(study, tmp_path):
    run = moestat("study", "run", study, "--workers", 2, "--store", tmp_path / "two.db")
    assert run.code == 0, run
    assert digest(tmp_path / "two.db") == digest(study.with_suffix(".db"))


def test_shards_merged_are_the_whole(study, tmp_path):
    for shard in ("1/3", "2/3", "3/3"):
        run = moestat("study", "run", study, "--shard", shard)
        assert run.code == 0, run
    assert f"When all are: moestat study merge {study} {tmp_path}/tiny.shard-*-of-03.db" in run.out
    shards = sorted(tmp_path.glob("tiny.shard-*.db"))
    assert [rows(shard) for shard in shards] == [4, 2, 2]
    assert "4/4" in moestat("study", "status", shards[0]).out
    study.with_suffix(".db").rename(tmp_path / "whole.db")
    assert f"moestat study merge {tmp_path / 'tiny.db'} {shards[0]}" in refused("study", "status", study)
    run = moestat("study", "merge", study, *shards)
    assert (run.code, run.out) == (
        0,
        f"8 rows added to {tmp_path / 'tiny.db'}, 0 were there already.\nNothing is missing.\n",
    )
    assert digest(tmp_path / "tiny.db") == digest(tmp_path / "whole.db")


def test_no_time_is_a_code_of_its_own(study, tmp_path):
    run = moestat("study", "run", study, "--max-time", "0.000001", "--store", tmp_path / "short.db")
    assert run.code == 75, run
    again = f"moestat study run {study} --max-time 0.000001 --store {tmp_path / 'short.db'}"
    assert f"8 rows are missing (the time was over). To go on: {again}" in run.out
    assert "0/4" in moestat("study", "status", tmp_path / "short.db").out


def test_versions_that_differ_are_told_or_refused(study, monkeypatch):
    monkeypatch.setattr("moestat.montecarlo.running.versions", lambda: '{"moestat": "0"}')
    run = moestat("study", "run", study)
    assert run.code == 0
    assert f"Warning: {study.with_suffix('.db')} has results of other versions" in run.err
    run = moestat("study", "run", study, "--strict")
    assert run.code == 2
    assert "without --strict they are added all the same" in run.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--workers", 0], "--workers must be a whole number of at least 1"),
        (["--workers", 2, "--scheduler", "tcp://127.0.0.1:1"], "--workers and --scheduler are two ways"),
        (["--shard", "3/2"], "--shard must be i/m"),
        (["--shard", "third"], "--shard must be two whole numbers"),
        (["--max-time", "soon"], "--max-time must be a time larger than 0"),
        (["--scheduler", ""], "--scheduler must be an address"),
    ],
)
def test_options_that_are_wrong_leave_no_file(tmp_path, words, said):
    path = written(tmp_path / "tiny.toml")
    assert said in refused("study", "run", path, "--quiet", *words)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TINY.replace("replications = 4", "replications = 0"), "design.replications must be a whole number"),
        (TINY.replace("n_starts", "n_start"), "Did you mean 'n_starts'?"),
        ("[study", "this is no TOML"),
        ("", "study is missing"),
    ],
)
def test_a_study_that_is_wrong_leaves_no_file(tmp_path, text, said):
    path = written(tmp_path / "wrong.toml", text)
    error = refused("study", "run", path)
    assert said in error
    assert str(path) in error
    assert list(tmp_path.iterdir()) == [path]


def test_files_that_are_not_there(tmp_path):
    nothing = tmp_path / "nothing.toml"
    assert "Write one with `moestat study new nothing.toml`" in refused("study", "run", nothing)
    assert "must be a study file that ends in .toml" in refused("study", "run", tmp_path / "nothing.db")
    for command in ("status", "verify", "repair"):
        assert f"there is no study file '{nothing}', and no store" in refused("study", command, nothing)
        assert "there is no store" in refused("study", command, tmp_path / "nothing.db")
    path = written(tmp_path / "tiny.toml")
    assert f"has no store '{tmp_path / 'tiny.db'}' yet. Make one: moestat study run {path}" in refused(
        "study", "status", path
    )
    assert list(tmp_path.iterdir()) == [path]


def test_a_changed_cell_is_refused(study):
    before = digest(study.with_suffix(".db"))
    written(study, TINY.replace("n_starts = 2", "n_starts = 3"))
    assert moestat("study", "run", study).code == 2
    assert digest(study.with_suffix(".db")) == before
    status = moestat("study", "status", study)
    assert "2 cells of the store are others in the study now" in status.out
    assert "8 rows are missing." in status.out


def test_a_cell_that_was_taken_out_stays(study):
    written(study, TINY.replace("n = [60, 120]", "n = 120"))
    status = moestat("study", "status", study)
    assert "1 cells of the store are not in the study any more; they stay as they are." in status.out
    assert "Nothing is missing." in status.out
    assert "0 rows added" in moestat("study", "run", study).out
    assert rows(study.with_suffix(".db")) == 8


def test_nobody_at_the_scheduler(tmp_path, monkeypatch):
    monkeypatch.setattr("moestat.montecarlo.engine.cluster.Cluster.__init__.__kwdefaults__", {"patience": 0.2})
    run = moestat("study", "run", written(tmp_path / "tiny.toml"), "--scheduler", "tcp://127.0.0.1:1")
    assert run.code == 69, run
    assert "or correct --scheduler" in run.err


def test_a_bug_in_a_worker_is_no_bad_input(tmp_path, monkeypatch):
    def broken(self, batch):
        raise RuntimeError("of the test")

    monkeypatch.setattr("moestat.montecarlo.replication.Work.__call__", broken)
    run = moestat("study", "run", written(tmp_path / "tiny.toml"))
    assert run.code == 1
    assert "Error: the work went wrong in the batch of n=" in run.err
    assert "RuntimeError: of the test" in run.err
    assert "in broken" in run.err


def test_a_store_in_use_and_a_folder_that_is_no_place(study, tmp_path):
    with Store.open(study.with_suffix(".db")):
        run = moestat("study", "run", study)
        assert run.code == 74
        assert "one writer at a time" in run.err
        assert "8/8" in moestat("study", "status", study).out  # readers do not mind
    assert moestat("study", "run", study, "--store", tmp_path / "no" / "folder.db").code == 74


def test_a_study_by_its_name_alone(study):
    name = study.with_suffix("")
    assert "0 rows added" in moestat("study", "run", name).out
    assert "8/8" in moestat("study", "status", name).out


# --------------------------------------------------------------------------------------- status
def test_status_counts(finished):
    path = finished[0] / "tiny.toml"
    out = moestat("study", "status", path).out
    lines = [line.split() for line in out.splitlines()]
    assert ["K2", "mle", "60", "4/4"] in [line[:4] for line in lines]
    assert ["total", "8/8", "8", "0", "0"] in [line[:5] for line in lines]
    assert "Digest" not in out
    store = path.with_suffix(".db")
    assert f"Digest of the results: {digest(store)}" in moestat("study", "status", path, "--digest").out


def test_status_as_json_is_what_the_rows_say(finished):
    store = finished[0] / "tiny.db"
    found = json.loads(moestat("study", "status", store, "--json", "--digest").out)
    assert (found["study"], found["missing"], found["digest"]) == ("tiny", 0, digest(store))
    assert sum(one["rows"] for one in found["versions"]) == 8
    assert found["versions"][0]["moestat"] == ms.__version__
    with Store.open(store, read_only=True) as opened:
        frame = opened.frame()
    for cell in found["cells"]:
        own = frame[(frame["n"] == cell["n"]) & (frame["outcome"] == "ok")]
        trusted = [ms.certificate.Status[status].trusted for status in own["status"]]
        assert (cell["ok"], cell["trusted"], cell["planned"]) == (len(own), sum(trusted), 4)


# --------------------------------------------------------------------------------------- export
@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_exports(finished, tmp_path, ending):
    out = tmp_path / f"rows.{ending}"
    run = moestat("study", "export", finished[0] / "tiny.toml", out)
    assert (run.code, run.out, run.err) == (0, "", f"Written: {out}, 8 rows\n")
    frame = montecarlo.read_export(out) if ending == "parquet" else pd.read_csv(out)
    with Store.open(finished[0] / "tiny.db", read_only=True) as store:
        np.testing.assert_array_equal(frame["loglik"], store.frame()["loglik"])
    assert "Pass --overwrite, or another OUT" in refused("study", "export", finished[0] / "tiny.db", out)
    assert moestat("study", "export", finished[0] / "tiny.db", out, "--overwrite").code == 0


def test_exports_that_cannot_be(finished, tmp_path):
    store = finished[0] / "tiny.db"
    assert "OUT must end in .parquet or .csv" in refused("study", "export", store, tmp_path / "rows.xlsx")
    assert "there is no folder" in refused("study", "export", store, tmp_path / "no" / "rows.csv")
    assert list(tmp_path.iterdir()) == []


# --------------------------------------------------------------------------------------- verify, repair
def test_verify_and_repair(study):
    store, whole = study.with_suffix(".db"), digest(study.with_suffix(".db"))
    run = moestat("study", "verify", study)
    assert run.code == 0
    assert f"Digest of the results: {whole}" in run.out
    assert "Nothing to repair." in moestat("study", "repair", store).out

    data = bytearray(store.read_bytes())
    with Store.open(store, read_only=True) as opened:
        number = opened.rows(opened.cells()[0]).numbers[0, 0]
    data[data.index(np.float64(number).tobytes())] ^= 1
    store.write_bytes(data)
    run = moestat("study", "verify", study)
    assert run.code == 74
    assert "K2/mle/n=60, replication 0" in run.out
    assert f"moestat study repair {store}" in run.err
    run = moestat("study", "export", study, study.with_suffix(".csv"))
    assert run.code == 74
    assert not study.with_suffix(".csv").exists()

    run = moestat("study", "repair", study)
    assert run.code == 0, run
    assert "7 rows were kept, 1 known ones lost" in run.out
    assert "1 rows added" in moestat("study", "run", study).out
    assert digest(store) == whole


def test_what_is_no_store(tmp_path):
    file = tmp_path / "table.db"
    file.write_text("x,y\n1,2\n")
    for command in ("status", "verify"):
        assert "is not a store of a study" in refused("study", command, file)
    assert file.read_text() == "x,y\n1,2\n"


# --------------------------------------------------------------------------------------- merge
def test_merging_with_itself_and_with_nothing(study, tmp_path):
    store = study.with_suffix(".db")
    assert "SHARD must not be the TARGET" in refused("study", "merge", study, store)
    assert "there is no store" in refused("study", "merge", tmp_path / "new.db", tmp_path / "nothing.db")
    assert not (tmp_path / "new.db").exists()
    assert "8 rows added" in moestat("study", "merge", tmp_path / "new.db", store).out
    assert "0 rows added" in moestat("study", "merge", tmp_path / "new.db", store).out


# --------------------------------------------------------------------------------------- replay
def test_replay(finished, tmp_path):
    data = tmp_path / "data.csv"
    run = moestat("study", "replay", finished[0] / "tiny.db", "K2/mle/n=60", 3, "--save", data)
    assert run.code == 0, run
    assert "K2/mle/n=60, replication 3: ok" in run.out
    assert "The store has the same row, to the last bit." in run.out
    study = montecarlo.Study.from_text(TINY)
    X, y = montecarlo.sample(study, 60, 3)
    frame = pd.read_csv(data)
    np.testing.assert_array_equal(frame.to_numpy(), np.column_stack([X, y]))
    assert list(frame.columns) == ["x1", "y"]
    again = refused("study", "replay", finished[0] / "tiny.db", "K2/mle/n=60", 3, "--save", data)
    assert "Pass --overwrite, or another --save" in again


def test_a_row_that_does_not_come_back_is_a_code_of_its_own(finished, tmp_path):
    """As one from another kind of machine would."""
    with Store.open(finished[0] / "tiny.db", read_only=True) as store:
        (done, ended), *_ = store.batches()
        text, cells = store.study, store.cells()
    done.rows[0].numbers[0] += 1e-9
    with Store.create(tmp_path / "other.db", text, cells) as other:
        other.append(done, ended=ended)
    (cell,) = [cell for cell in cells if cell.digest == done.rows[0].cell]
    run = moestat("study", "replay", tmp_path / "other.db", cell.label, done.rows[0].replication)
    assert run.code == 3, run
    assert "The store has another row" in run.out


def test_replays_that_cannot_be(finished):
    study = finished[0] / "tiny.toml"
    assert "CELL must be FIT/PROTOCOL/n=N" in refused("study", "replay", study, "K2/mle/n=61", 0)
    assert "REP must be a whole number from 0 to 3" in refused("study", "replay", study, "K2/mle/n=60", 4)


# --------------------------------------------------------------------------------------- made in Python
def test_a_study_made_in_python_is_counted_and_not_replayed(tmp_path):
    read = montecarlo.Study.from_text(TINY)
    study = montecarlo.Study("own", read.truth, read.design, read.fits, protocols=read.protocols)
    store = tmp_path / "own.db"
    montecarlo.run(study, store)
    status = moestat("study", "status", store)
    assert status.code == 0
    assert "Study own, in" in status.out
    assert "known to the Python script" in status.out
    assert json.loads(moestat("study", "status", store, "--json").out)["missing"] is None
    assert "made in Python" in refused("study", "replay", store, "K2/mle/n=60", 0)


# --------------------------------------------------------------------------------------- small parts
@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90.0), ("0.5", 0.5), ("90m", 5400.0), ("1h30m", 5400.0), ("2d", 172800.0), ("5s", 5.0)]
)
def test_times(text, seconds):
    assert seconds_of(text, "--max-time") == seconds


@pytest.mark.parametrize("text", ["", "0", "-1", "nan", "inf", "1e9", "1h 30m", "m", "1:30", "0h"])
def test_what_is_no_time(text):
    with pytest.raises(InputError, match="--max-time must be a time"):
        seconds_of(text, "--max-time")


@pytest.mark.parametrize(("shard", "name"), [((3, 20), "a.b.shard-03-of-20.db"), ((7, 100), "a.b.shard-007-of-100.db")])
def test_names_of_shards(tmp_path, shard, name):
    store = store_of(tmp_path / "a.b.toml", Shard(*shard))
    assert store == tmp_path / name
    assert shard_of(store) == Shard(*shard)
    assert shard_of(store_of(tmp_path / "a.b.toml")) is None
