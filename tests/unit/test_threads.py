"""Threads: the same bits whatever their number, and no harm to processes, other threads or interrupts."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from textwrap import dedent

import numpy as np
import pytest

import moestat as ms
from moestat import threads
from moestat.certificate.behind import RowsBehind
from moestat.certificate.rays import Partition
from moestat.gate_information import General
from moestat.objectives import objective_named
from moestat.solvers import Problem
from moestat.solvers.held_experts import Kept
from moestat.solvers.ties import Switched, TiedRows
from moestat.sums import GateCurvature, LoglikSums
from moestat.threads import in_order, limit, n_threads, set_threads, usable_processors

#: Rows of the passes below, and what makes several parts of so few.
N, PART = 3000, 2000

LIKELIHOOD = ("shares", "score", "em", "hessian", "outer_products", "expert_information", "factors")
GATES = {
    "softmax": ms.gates.Softmax(),
    "quadratic": ms.gates.Quadratic(),
    "laplace": ms.gates.Laplace(),
    "topk": ms.gates.TopK(n_active=2),
    "gaussian": ms.gates.Gaussian(),
    "gumbel": ms.gates.Gumbel(n_draws=16),
    "noisy": ms.gates.NoisyTopK(n_active=2),
    "temperature": ms.gates.Temperature(depends_on="covariates"),
    "coupled": ms.gates.AdaptiveTemperature(ms.gates.Laplace()),
    "forms": ms.gates.AdaptiveTemperature(),
    "hierarchical": ms.gates.Hierarchical(groups=(2, 1)),
}


@pytest.fixture(autouse=True)
def parts(monkeypatch):
    """Parts of a few dozen rows, and the setting as it was."""
    monkeypatch.setattr("moestat.passes.PART_DOUBLES", PART)
    monkeypatch.setattr("moestat.passes.CACHE_DOUBLES", PART)
    monkeypatch.delenv(threads.VARIABLE, raising=False)
    yield
    set_threads(None)


@cache
def rows(n=N):
    rng = np.random.default_rng(3)
    X = rng.standard_normal((n, 2))
    return X, X[:, 0] * rng.integers(-1, 2, n) + 0.3 * rng.standard_normal(n)


@cache
def problem(gate="softmax", expert="gaussian", objective="likelihood"):
    X, y = rows()
    if expert in ("poisson", "multinomial"):
        y = np.minimum(np.round(np.exp(np.abs(y))), 3.0)
    model = objective_named(objective).model(ms.MixtureOfExperts(gate=GATES[gate], expert=expert, n_experts=3))
    data = ms.Data(X, y, categorical=model.expert.categorical, block_rows=64)
    made = Problem.of(model, model.prepare(data))
    return made, 0.3 * np.cos(np.arange(made.layout.size))


def bits(record):
    """Everything that a record, or what is made of one, says of itself in numbers."""
    out = {}
    for name in (name for name in dir(type(record)) if not name.startswith("_")):
        if not callable(getattr(type(record), name)):
            try:
                out[name] = getattr(record, name)
            except (AttributeError, AssertionError):  # sums that this kind of gate or expert does without
                continue
    out |= {name: value for name, value in vars(record).items() if not name.startswith("_")}
    return {k: np.asarray(v) for k, v in out.items() if isinstance(v, np.ndarray | float | int | tuple)}


def same(make, others=(2, 5)):
    """The numbers of a record, the same with one thread and with others."""
    with limit(1):
        one = bits(make())
    assert one
    for n in others:
        with limit(n):
            many = bits(make())
        assert one.keys() == many.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], many[name], err_msg=f"{name} with {n} threads")
    return one


def whole(make, monkeypatch):
    """The same numbers from one record that takes every tile."""
    with monkeypatch.context() as patch:
        patch.setattr("moestat.passes.PART_DOUBLES", 10**9)
        return bits(make())


def check(make, monkeypatch):
    one, alone = same(make), whole(make, monkeypatch)
    for name in one:
        # both are compensated: they differ by the last roundings of what is made of the sums
        size = np.abs(alone[name]).max(initial=1.0)
        np.testing.assert_allclose(one[name], alone[name], rtol=1e-11, atol=1e-12 * size, err_msg=name)


# ------------------------------------------------------------------------------------- bits
@pytest.mark.parametrize("name", LIKELIHOOD)
@pytest.mark.parametrize("hard", [False, True], ids=["soft", "hard"])
def test_every_pass(name, hard, monkeypatch):
    made, theta = problem()
    passes = made.passes.hardened if hard else made.passes
    check(lambda: getattr(passes, name)(theta), monkeypatch)


@pytest.mark.parametrize("expert", ["poisson", "multinomial"])
@pytest.mark.parametrize("name", ["em", "hessian", "expert_information"])
def test_experts_without_a_closed_form(expert, name, monkeypatch):
    made, theta = problem(expert=expert)
    check(lambda: getattr(made.passes, name)(theta), monkeypatch)


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("way", ["em", "hessian", "q", "general"])
def test_every_way_of_a_gate(gate, way, monkeypatch):
    made, theta = problem(gate)
    passes = made.passes
    sums = {
        "em": lambda: passes.em(theta),
        "hessian": lambda: passes.hessian(theta),
        "q": lambda: passes.gate_q(theta, theta + 0.05),
        "general": lambda: passes.reduce(partial(GateCurvature, passes.terms, theta, General), theta),
    }
    check(sums[way], monkeypatch)


def test_the_experts_part_of_q(monkeypatch):
    made, theta = problem()
    check(lambda: made.passes.expert_q(theta, theta + 0.05), monkeypatch)


@pytest.mark.parametrize("name", ["score", "hessian", "products", "outer_products"])
@pytest.mark.parametrize("gate", ["softmax", "hierarchical"])
def test_least_squares(name, gate, monkeypatch):
    made, theta = problem(gate, objective="least_squares")
    check(lambda: getattr(made.passes, name)(theta), monkeypatch)


RECORDS = {
    "rows behind": lambda terms, theta: partial(RowsBehind, terms),
    "partition": lambda terms, theta: partial(Partition, 3, 0.4),
    "switched": lambda terms, theta: partial(Switched, terms, theta + 0.1 * np.sin(np.arange(theta.size))),
    "loglik": lambda terms, theta: LoglikSums,
}


@pytest.mark.parametrize("name", RECORDS)
def test_other_records(name, monkeypatch):
    made, theta = problem("topk")
    check(lambda: made.passes.reduce(RECORDS[name](made.passes.terms, theta), theta), monkeypatch)


def test_few_rows_behind_an_expert_are_counted_across_parts():
    """Its rows lie in the first and in the last part."""
    made, theta = problem()
    K = made.passes.terms.n_experts
    first, last = (RowsBehind(made.passes.terms) for _ in range(2))
    with limit(1):
        tile = next(made.passes.terms.tiles(theta, made.passes.source.blocks()))
    R = np.zeros_like(tile.R)
    for record, row in ((first, 3), (last, 7)):
        R[:] = 0.0
        R[0, row] = 1.0
        record.add(tile._replace(R=R))
    first.merge(last)
    assert first.few == {0: 2}
    assert first.mass.tolist() == [2.0] + [0.0] * (K - 1)


def test_ties_and_kept_blocks_stay_in_the_order_of_the_rows():
    made, theta = problem("topk")
    with limit(1):
        one = made.passes.reduce(Kept, theta).blocks
    with limit(3):
        many = made.passes.reduce(Kept, theta).blocks
        ties = made.passes.reduce(partial(TiedRows, made.passes.terms, 0.0 * theta), theta).ties
    assert [E.tobytes() for _, E in one] == [E.tobytes() for _, E in many]
    order = {row.tobytes(): i for i, row in enumerate(np.hstack([b.Z for b in made.passes.source.blocks()]).T)}
    places = [order[tie.row.Z[:, 0].tobytes()] for tie in ties]
    assert len(ties) > N
    assert places == sorted(places)


def test_a_whole_fit():
    X, y = rows()
    model = ms.MixtureOfExperts(n_experts=2)
    with limit(1):
        one = ms.fit(model, X, y, n_starts=2)
    with limit(2):
        two = ms.fit(model, X, y, n_starts=2)
    assert one.theta.tobytes() == two.theta.tobytes()
    assert one.bse.to_numpy().tobytes() == two.bse.to_numpy().tobytes()


def test_what_is_said_of_training_rows(monkeypatch):
    X, y = rows()
    data = ms.Data(X, y, block_rows=64)
    results = ms.fit(ms.MixtureOfExperts(n_experts=2), data, n_starts=1)
    monkeypatch.setattr("moestat.data.MANY_ROWS", 1)
    said = []
    for n in (1, 2):
        with limit(n):
            said.append((results.predict(), results.responsibilities(), results.gate_weights()))
    for one, two in zip(*said, strict=True):
        assert len(one) == N
        assert one.tobytes() == two.tobytes()


def test_fits_in_threads_of_the_users_own():
    """Eight at once, each with helpers; passes are shared as well."""
    made, theta = problem()
    want = made.passes.hessian(theta).hessian

    def work(_):
        with limit(2):
            return [made.passes.hessian(theta).hessian for _ in range(5)]

    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(work, range(8)):
            assert all(each.tobytes() == want.tobytes() for each in found)


# ------------------------------------------------------------------------------------- who works
def test_helpers_work_along():
    meet = threading.Barrier(2)

    def work(part):
        if part < 2:
            meet.wait(30)  # for another thread, which takes the other of the first two parts
        return part

    with limit(2):
        assert list(in_order(work, range(40))) == list(range(40))


@pytest.mark.parametrize("n_parts", [0, 1, 2, 3])
def test_few_parts_are_worked_out_where_they_are(n_parts):
    with limit(4):
        seen = []
        assert list(in_order(lambda part: seen.append(threading.current_thread()) or part, range(n_parts))) == list(
            range(n_parts)
        )
    assert set(seen) <= {threading.current_thread()}


def test_small_fits_touch_no_thread(monkeypatch):
    monkeypatch.undo()  # parts of the usual size
    X, y = rows()
    monkeypatch.setattr("moestat.threads._pool", None)
    with limit(8):
        ms.fit(ms.MixtureOfExperts(), X, y, n_starts=1)


def test_helpers_have_no_helpers():
    with limit(3):
        inside = list(in_order(lambda _: (threading.current_thread().name, n_threads()), range(50)))
    assert {n for name, n in inside if name.startswith("moestat")} <= {1}
    assert {n for name, n in inside if not name.startswith("moestat")} <= {3}


def test_a_source_that_fills_one_buffer_is_read_by_one_thread():
    made, theta = problem()

    class Streamed:
        n_rows = N

        def blocks(self):
            for block in made.passes.source.blocks():
                yield block
                assert threading.current_thread() is threading.main_thread()

    streamed = type(made.passes)(made.passes.terms, Streamed())
    with limit(2):
        assert streamed.score(theta).score.tobytes() == made.passes.score(theta).score.tobytes()


def test_the_error_state_of_numpy_goes_along():
    with limit(2), np.errstate(divide="raise"):
        found = list(in_order(lambda _: np.geterr()["divide"], range(30)))
    assert set(found) == {"raise"}


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_an_error_is_raised_and_the_next_pass_works(kind):
    made, theta = problem()
    want = made.passes.hessian(theta).hessian

    def work(part):
        if part == 20:
            raise kind("stop")
        return part

    with limit(2):
        for _ in range(5):
            with pytest.raises(kind):
                list(in_order(work, range(500)))
            assert made.passes.hessian(theta).hessian.tobytes() == want.tobytes()


# ------------------------------------------------------------------------------------- processes
SCRIPT = """
import numpy as np
import moestat as ms
from moestat.threads import in_order, limit, n_threads, set_threads
import moestat.passes
moestat.passes.PART_DOUBLES = moestat.passes.CACHE_DOUBLES = 2000
rng = np.random.default_rng(0)
X = rng.standard_normal((2000, 1))
y = X[:, 0] + rng.standard_normal(2000)

def fitted(_=None):
    return ms.fit(ms.MixtureOfExperts(), X, y, n_starts=1).theta.tobytes()

def asked(_=None):
    return n_threads()
"""


def run(body):
    """What a program of its own prints; it must end by itself."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT + dedent(body)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"MOESTAT_THREADS": "2"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="systems without fork")
def test_a_fork_after_the_pool_was_used():
    """Plain children have a pool of their own; those of multiprocessing have none."""
    out = run("""
        import multiprocessing, os, warnings
        warnings.simplefilter("ignore")
        here = fitted()
        child = os.fork()
        if child == 0:
            os._exit(0 if fitted() == here and asked() == 2 else 1)
        print(os.waitpid(child, 0)[1])
        with multiprocessing.get_context("fork").Pool(2) as pool:
            print(set(pool.map(asked, range(4))) == {1}, set(pool.map(fitted, range(4))) == {here}, asked())
    """)
    assert out == ["0", "True", "True", "2"]


@pytest.mark.parametrize("way", ["spawn", "forkserver"])
def test_worker_processes_use_one_thread(way):
    if way not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {way} on this system")
    with multiprocessing.get_context(way).Pool(1) as pool:
        assert pool.apply(n_threads) == 1


def test_workers_of_loky_use_one_thread():
    joblib = pytest.importorskip("joblib")
    assert n_threads() == usable_processors()
    with limit(3):
        assert set(joblib.Parallel(n_jobs=2)(joblib.delayed(n_threads)() for _ in range(4))) == {1}


def test_the_interpreter_ends_while_helpers_wait():
    assert run("print(fitted() == fitted())") == ["True"]


def test_fits_at_the_interpreters_end_do_without_helpers():
    assert run("import atexit; atexit.register(lambda: print(len(fitted()) > 0)); print(asked())") == ["2", "True"]


# ------------------------------------------------------------------------------------- settings
def test_settings_in_their_order(monkeypatch):
    assert n_threads() == usable_processors()
    monkeypatch.setenv(threads.VARIABLE, " 3 ")
    assert n_threads() == 3
    set_threads(4)
    assert n_threads() == 4
    with limit(5):
        assert n_threads() == 5
        with limit(None):
            assert n_threads() == 5
        with limit(np.int64(6)):
            assert n_threads() == 6
    assert n_threads() == 4
    set_threads(None)
    assert n_threads() == 3


def test_a_limit_concerns_the_threads_that_ask_for_it():
    with limit(7), ThreadPoolExecutor(1) as pool:
        assert pool.submit(n_threads).result() == usable_processors()


@pytest.mark.parametrize("n", [0, -1, 1.5, "2", True])
def test_numbers_that_are_none(n):
    with pytest.raises(ms.InputError, match=r"n must be a whole number of threads, at least 1, or None .* got"):
        set_threads(n)
    with pytest.raises(ms.InputError, match="n must be"), limit(n):
        pass


@pytest.mark.parametrize("text", ["0", "-2", "two", "1.5", "²"])
def test_a_variable_that_is_no_number(monkeypatch, text):
    monkeypatch.setenv(threads.VARIABLE, text)
    with pytest.raises(ms.InputError, match=r"MOESTAT_THREADS must be a whole number of at least 1; got .* unset it"):
        n_threads()
