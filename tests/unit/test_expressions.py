"""Gates and experts as text: read, written, refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import moestat as ms
from moestat.component import Gate
from moestat.errors import InputError
from moestat.experts import EXPERTS, Gaussian, Mixed, Multinomial
from moestat.expressions import MAX_LENGTH, parse, parse_families, write
from moestat.gates import GATES, Entmax, Hierarchical, Laplace, Sigmoid, Softmax, Temperature


class TopK(ms.gates.TopK):
    """A gate that takes any setting: reading and writing is not for the grammar to judge."""

    def __post_init__(self) -> None:
        pass


#: Gates round gates, as a registry of a later day may hold them.
WRAPPERS = {kind.name: kind for kind in (Softmax, Laplace, Entmax, Temperature, TopK, Hierarchical)}

GATES_AS_TEXT = {
    "softmax": Softmax(),
    "laplace": Laplace(),
    "laplace(smoothing=0.25)": Laplace(smoothing=0.25),
    "temperature(laplace)": Temperature(Laplace()),
    "topk(laplace, n_active=1)": TopK(Laplace(), n_active=1),
    "topk(temperature(laplace(smoothing=0.5)), n_active=3)": TopK(Temperature(Laplace(0.5)), n_active=3),
    "hierarchical(laplace, topk(entmax), groups=(2, 1))": Hierarchical(Laplace(), TopK(Entmax()), (2, 1)),
    "hierarchical(laplace, laplace, groups=(3,))": Hierarchical(Laplace(), Laplace(), (3,)),
}


# --------------------------------------------------------------------------------------- reading and writing
@pytest.mark.parametrize("text", GATES_AS_TEXT)
def test_text_is_read(text):
    assert parse(text, "gate", WRAPPERS) == GATES_AS_TEXT[text]


@pytest.mark.parametrize("text", GATES_AS_TEXT)
def test_what_was_read_is_written_the_same(text):
    assert write(GATES_AS_TEXT[text]) == text


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("  topk( laplace , n_active = 1 )\n", TopK(Laplace(), 1)),
        ("topk(laplace, 1)", TopK(Laplace(), 1)),
        ("topk(inner=laplace(), n_active=1)", TopK(Laplace(), 1)),
        ("topk(n_active=1, inner=laplace)", TopK(Laplace(), 1)),
        ("topk(laplace, -1)", TopK(Laplace(), -1)),
        ("laplace(1e-3)", Laplace(0.001)),
        ("softmax()", Softmax()),
    ],
)
def test_settings_go_by_place_or_by_name(text, gate):
    assert parse(text, "gate", WRAPPERS) == gate


@given(
    st.recursive(
        st.one_of(
            st.just(Softmax()),
            st.builds(Laplace, smoothing=st.floats(min_value=0.0, exclude_min=True, allow_infinity=False)),
        ),
        lambda inner: st.one_of(
            st.builds(Temperature, inner),
            st.builds(TopK, inner, st.one_of(st.integers(-9, 9), st.floats(allow_nan=False))),
            st.builds(Hierarchical, inner, inner, st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple)),
        ),
        max_leaves=6,
    )
)
def test_every_gate_comes_back(gate):
    assert parse(write(gate), "gate", WRAPPERS) == gate


def test_numpy_numbers_are_written_as_numbers():
    assert write(Laplace(np.float64(0.5))) == "laplace(smoothing=0.5)"


def test_what_no_text_can_hold_is_not_written():
    with pytest.raises(InputError, match="only settings of numbers, strings and components can be written"):
        write(TopK(Softmax(), np.nan))


@pytest.mark.parametrize(
    "experts",
    [
        Gaussian(),
        Gaussian(variance="common"),
        Multinomial(),
        Mixed((Gaussian(), Gaussian(variance="common"))),
        Mixed((Gaussian(),)),
    ],
    ids=write,
)
def test_experts_come_back_through_a_model(experts):
    n_experts = len(experts.families) if isinstance(experts, Mixed) else 2
    assert ms.MixtureOfExperts(expert=write(experts), n_experts=n_experts).expert == experts


# --------------------------------------------------------------------------------------- models
@pytest.mark.parametrize("registry", [GATES, EXPERTS])
def test_bare_names_are_expressions(registry):
    for name, kind in registry.items():
        assert parse(name, "component", registry) == kind()


def test_a_model_takes_expressions():
    model = ms.MixtureOfExperts(gate="softmax()", expert="gaussian(variance='common')")
    assert (model.gate, model.expert) == (Softmax(), Gaussian(variance="common"))


def test_a_tuple_may_hold_expressions():
    model = ms.MixtureOfExperts(expert=("gaussian('common')", Gaussian()))
    assert model.expert == Mixed((Gaussian(variance="common"), Gaussian()))


@pytest.mark.parametrize("text", ["gaussian, gaussian('common')", "(gaussian, gaussian('common'))"])
def test_several_families_in_one_text(text):
    assert ms.MixtureOfExperts(expert=text).expert == Mixed((Gaussian(), Gaussian(variance="common")))


def test_several_gates_are_refused():
    with pytest.raises(InputError, match="a gate is a name with settings in parentheses"):
        ms.MixtureOfExperts(gate="softmax, softmax")


# --------------------------------------------------------------------------------------- refusals
@dataclass(frozen=True)
class Picky(Softmax):
    """A gate that trips over settings of the wrong type."""

    level: float = 0.0
    name: ClassVar[str] = "picky"

    def __post_init__(self):
        self.level + 1


@dataclass(frozen=True)
class Needy(Sigmoid):
    """A gate with a setting that has no default."""

    inner: Gate
    name: ClassVar[str] = "needy"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("softmx", r"gate must be one of \['entmax', .*'topk'\] .*; got 'softmx'\. Did you mean 'softmax'\?"),
        ("Softmax", r"got 'Softmax'\. Did you mean 'softmax'\?"),
        ("zzz", r"got 'zzz'\.$"),
        ("topk(laplac)", r"'laplac' is no gate; known are .* Did you mean 'laplace'\?"),
        ("topk(nothing(1))", r"gate must be one of .*; got 'nothing'"),
        ("laplace(smoothness=1)", r"laplace has no setting 'smoothness'; its settings are smoothing\. Did you mean"),
        ("sigmoid(1)", r"sigmoid: too many positional arguments; it has no settings"),
        ("laplace(1, smoothing=2)", r"laplace: multiple values for argument 'smoothing'"),
        ("needy", r"needy: missing a required argument: 'inner'; its settings are inner"),
        ("hierarchical(softmax, softmax, (2,), outer_width=3)", r"hierarchical has no setting 'outer_width'"),
        ("laplace(smoothing=small)", r"'small' is no gate; .* For a word write quotes: 'small'"),
        ("laplace(**{'smoothing': 1})", r"\*\* is not allowed"),
        ("laplace(*[1])", "a setting is a number, a string, a list of them or a gate"),
        ("laplace({'a': 1})", "a setting is a number, a string, a list of them or a gate"),
        ("laplace(b'a')", "a setting is a number, a string"),
        ("laplace(2j)", "a setting is a number, a string"),
        ("laplace(1 + x)", "a setting is a number, a string"),
        ("laplace(lambda: 1)", "a setting is a number, a string"),
        ("laplace(smoothing=1, smoothing=2)", "the setting 'smoothing' is given twice"),
        ("gates.softmax", r"a gate is a name with settings in parentheses.*; got gates\.softmax"),
        ("gates.softmax()", r"got gates\.softmax\(\)"),
        ("softmax()()", r"got softmax\(\)\(\)"),
        ("softmax if 1 else laplace", "a gate is a name"),
        ("1", "a gate is a name .*; got 1"),
        ("", "gate must be a name with settings in parentheses.*; got ''"),
        ("softmax(", "gate must be a name with settings"),
        ("soft\0max", "gate must be a name with settings"),
        ("(" * 400 + "softmax" + ")" * 400, "gate must be a name with settings"),
        ("-" * 1900 + "1", "gate"),
        ("topk(" * 380 + ")" * 90, "gate"),
        ("s" * (MAX_LENGTH + 1), f"gate must be an expression of at most {MAX_LENGTH} characters"),
        ("picky(level='high')", r"picky does not take these settings \(.*\); its settings are transform, level"),
    ],
)
def test_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse(text, "gate", WRAPPERS | {kind.name: kind for kind in (Picky, Needy, Sigmoid)})


def test_a_component_s_own_refusal_comes_through():
    with pytest.raises(InputError, match="variance must be"):
        ms.MixtureOfExperts(expert="gaussian(variance='shared')")


def test_hostile_text_is_not_run(monkeypatch):
    monkeypatch.setattr("os.system", lambda *_: pytest.fail("it was run"))
    for text in (
        "__import__('os').system('true')",
        "softmax(__import__('os').system('true'))",
        "laplace(smoothing=[].__class__)",
        "(lambda: __import__('os').system('true'))()",
        "[softmax for x in (1,)]",
        "softmax := laplace",
        "f'{softmax}'",
    ):
        with pytest.raises(InputError):
            parse(text, "gate", WRAPPERS)


@given(st.one_of(st.text(max_size=60), st.text("softmaxlpceky(),='1. _[]-", max_size=60)))
def test_any_text_is_a_gate_or_an_input_error(text):
    try:
        gate = parse_families(text, "gate", WRAPPERS)
    except InputError:
        return
    assert all(isinstance(member, Gate) for member in (gate if isinstance(gate, tuple) else (gate,)))


@pytest.mark.parametrize(
    "text",
    [
        "gaussian(likelihood='joint')",
        "gaussian(shape='diagonal', covariance='common', likelihood='joint')",
        "softmax(transform='tanh')",
        "temperature(laplace(smoothing=0.05))",
        "temperature(tau=0.7)",
        "hierarchical(laplace, groups=(1, 2))",
        "hierarchical(constant(weights=(0.5, 0.5)))",
        "quadratic(linear=False)",
        "norga(activation='relu')",
        "activation(activation='gelu')",
    ],
)
def test_gates_of_the_package_are_written_as_they_are_read(text):
    gate = parse(text, "gate", GATES)
    assert parse(write(gate), "gate", GATES) == gate
    assert write(gate) == text
