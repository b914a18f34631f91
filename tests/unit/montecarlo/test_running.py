"""One digest whoever works, and studies with parts of a user's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import moestat as ms
from moestat.errors import InputError
from moestat.montecarlo import MLE, Design, FittedModel, Record, Study, Truth, merge, run
from tests.unit.montecarlo.engine.conftest import cluster  # noqa: F401
from tests.unit.montecarlo.own import Cauchy, Fixed, Triangular
from tests.unit.montecarlo.small import REAL, WITH_FAULTS


@pytest.fixture(scope="module")
def digest(tmp_path_factory):
    """Of the small study, run by this process."""
    return run(REAL, tmp_path_factory.mktemp("serial") / "serial.db").digest()


def test_a_second_run_has_nothing_to_do(tmp_path, digest):
    for _ in range(2):
        found = run(REAL, tmp_path / "a.db")
        assert found.complete
        assert found.digest() == digest
    assert found.outcome.rows == 0
    frame = found.rows()
    assert len(frame) == 2 * 2 * 2 * 6
    assert (frame.outcome == "ok").all()


@pytest.mark.parametrize("workers", [2, 5])
def test_workers_change_no_bit(tmp_path, digest, workers):
    assert run(REAL, tmp_path / "a.db", workers=workers).digest() == digest


def test_nor_does_a_cluster(tmp_path, digest, cluster):  # noqa: F811
    assert run(REAL, tmp_path / "a.db", scheduler=cluster.scheduler_address).digest() == digest


def test_nor_do_shards(tmp_path, digest):
    parts = [tmp_path / f"{i}.db" for i in (1, 2, 3)]
    for i, part in enumerate(parts, start=1):
        run(REAL, part, shard=f"{i}/3")
    merge(tmp_path / "all.db", parts)
    assert run(REAL, tmp_path / "all.db").digest() == digest
    assert run(REAL, tmp_path / "all.db").outcome.rows == 0


def test_more_is_added_to_what_is_there(tmp_path, digest):
    run(replace(REAL, design=Design([60], 4), text=""), tmp_path / "a.db")
    found = run(REAL, tmp_path / "a.db")
    assert found.outcome.rows == 48 - 16
    assert found.digest() == digest


def test_faults_have_one_digest_too(tmp_path):
    serial = run(WITH_FAULTS, tmp_path / "a.db")
    assert {"ok", "error"} == set(serial.rows().outcome)
    assert run(WITH_FAULTS, tmp_path / "b.db", workers=2).digest() == serial.digest()


def cauchy_study():
    model = ms.MixtureOfExperts(gate=Cauchy(width=0.5), n_experts=2)
    params = model.params(
        gate={"intercepts": [0.5, 0.0], "centres": [[-0.5], [0.5]]},
        expert={"intercepts": [2.0, -1.0], "slopes": [[1.0], [-0.5]], "variances": [0.1, 0.2]},
    )
    return Study(
        "own",
        Truth(model, params),
        Design([150], 4),
        [FittedModel("K2", model)],
        covariates=Triangular(),
        protocols=[MLE(n_starts=2, polish_from=("fixed", "truth")), Fixed()],
        record=Record(losses=(), distances=("hellinger", "measure")),
    )


def test_a_gate_a_law_and_a_protocol_of_a_users_own(tmp_path):
    study = cauchy_study()
    found = run(study, tmp_path / "a.db")
    frame = found.rows().set_index("protocol")
    assert (frame.outcome == "ok").all(), frame.words.tolist()
    assert (frame.loc["fixed", "hellinger"] == 0.0).all()
    assert (frame.loc["mle", "shortfall"] < 1e-6).all()
    assert (frame.loc["mle", "loglik"].to_numpy() >= frame.loc["fixed", "loglik"].to_numpy()).all()
    assert np.isfinite(frame.loc["mle", "measure"]).all()
    assert run(study, tmp_path / "b.db", workers=2).digest() == found.digest()


def test_a_setting_of_a_gate_of_ones_own_makes_another_cell():
    study = replace(cauchy_study(), record=Record(losses=(), distances=("hellinger",)), text="")
    wider = ms.MixtureOfExperts(gate=Cauchy(width=0.6), n_experts=2)
    other = replace(study, fits=[FittedModel("K2", wider)], text="")
    assert {c.digest for c in study.cells}.isdisjoint({c.digest for c in other.cells})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"workers": 0}, "workers must be a whole number of at least 1"),
        ({"workers": True}, "workers must be"),
        ({"workers": 2, "scheduler": "tcp://a"}, "give one of them"),
        ({"shard": "4/3"}, "shard"),
        ({"shard": "a"}, "shard"),
    ],
)
def test_options_that_are_none_leave_no_store(tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        run(REAL, tmp_path / "a.db", **options)
    assert not list(tmp_path.iterdir())


def test_a_changed_cell_is_refused(tmp_path):
    small = replace(REAL, design=Design([60], 1), fits=REAL.fits[1:], text="")
    before = run(small, tmp_path / "a.db").digest()
    with pytest.raises(InputError, match=r"n_starts|tries"):
        run(
            replace(small, protocols=[replace(small.protocols[0], n_starts=3), small.protocols[1]], text=""),
            tmp_path / "a.db",
        )
    assert run(small, tmp_path / "a.db").digest() == before
