"""Formulas: what they mean, what they refuse, and that they are the same fit as with arrays."""

from __future__ import annotations

import json
import re
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import moestat as ms
from moestat import storage
from moestat.errors import InputError
from moestat.experts import EXPERTS
from moestat.frames.grammar import parse


# --------------------------------------------------------------------------------------- rows and fits
@cache
def _rows(n):
    rng = np.random.default_rng(11)
    data = pd.DataFrame(
        {
            "x": rng.uniform(1.0, 3.0, n),
            "z": rng.normal(size=n),
            "g": rng.choice(["a", "b", "c"], n),
            "year": rng.choice([1990, 1991], n),
            "unit price": rng.uniform(5.0, 9.0, n),
            "hours": rng.uniform(1.0, 2.0, n),
            "times": rng.integers(1, 4, n),
        }
    )
    left = rng.random(n) < 1 / (1 + np.exp(-3 * data["z"]))
    mean = np.where(left, 1 + 2 * data["x"], 4 - data["x"] + (data["g"] == "b"))
    data["y"] = mean + rng.normal(scale=0.4, size=n)
    data["party"] = np.where(data["y"] + rng.logistic(size=n) > 4, "red", "blue")
    return data


@pytest.fixture
def data():
    return _rows(160).copy()


def fitted(formula, data=None, n_starts=2, **settings_):
    return ms.moe(formula, _rows(160) if data is None else data, **settings_).fit(n_starts=n_starts)


@pytest.fixture(scope="module")
def rich():
    """A fit with a spline, categories, centring and a column that Python cannot name."""
    return fitted("y ~ bs(x, df=4) + C(g) | z + center(`unit price`)")


def terms(part):
    return [":".join(factor.text for factor in term) for term in part.terms]


def refused(formula, message, **settings_):
    with pytest.raises(InputError, match=message):
        ms.moe(formula, settings_.pop("data", _rows(160)), **settings_)


# --------------------------------------------------------------------------------------- the grammar
@pytest.mark.parametrize(
    ("formula", "expert", "gate"),
    [
        ("y ~ x1 + C(g) | z1 + z2", ["x1", "C(g)"], ["z1", "z2"]),
        ("y ~ x", ["x"], ["x"]),
        ("y ~ a*b", ["a", "b", "a:b"], None),
        ("y ~ a:b + b:a + a", ["a", "a:b"], None),
        ("y ~ a*b:c", ["a", "b:c", "a:b:c"], None),
        ("y ~ a*b*c - a:b:c", ["a", "b", "c", "a:b", "a:c", "b:c"], None),
        ("y ~ (a + b + c)^2", ["a", "b", "c", "a:b", "a:c", "b:c"], None),
        ("y ~ (a + b)**2 - a:b", ["a", "b"], None),
        ("y ~ a/b", ["a", "a:b"], None),
        ("y ~ (a + b)/c", ["a", "b", "a:b:c"], None),
        ("y ~ a + a", ["a"], None),
        ("y ~ a - a", [], None),
        ("y ~ a:(b + c)", ["a:b", "a:c"], None),
        ("y~bs(x,df = 4)", ["bs(x, df=4)"], None),
        ("y ~ log (x)", ["log(x)"], None),
        ("y ~ I(x**2 + 3) + I((x > 1) & (x < 2))", ["I(x ** 2 + 3)", "I((x > 1) & (x < 2))"], None),
        ("y ~ C(g, Treatment('b)'))", ["C(g, Treatment('b)'))"], None),
        ("\n y ~\n x\t", ["x"], None),
    ],
)
def test_terms(formula, expert, gate):
    """Wilkinson and Rogers' operators; main effects come first."""
    parsed = parse(formula)
    assert terms(parsed.expert) == expert
    assert terms(parsed.gate) == (expert if gate is None else gate)


@pytest.mark.parametrize(
    ("right", "expert", "gate"),
    [
        ("x", True, True),
        ("x | z", True, True),
        ("1 | 1", True, True),
        ("0 + x", False, True),
        ("x + 0", False, True),
        ("x - 1", False, True),
        ("-1 + x | z - 1", False, False),
        ("x | 0 + z", True, False),
        ("0 | 0", False, False),
        ("0 + x + 1", True, True),
        ("x - 0", True, True),
    ],
)
def test_intercepts(right, expert, gate):
    parsed = parse(f"y ~ {right}")
    assert (parsed.expert.intercept, parsed.gate.intercept) == (expert, gate)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        (3, "formula must be a string such as .*; got int"),
        ("y", "formula must have one ~ .*; got 'y'"),
        ("a ~ b ~ c", "formula must have one ~"),
        ("y = x", "the character '=' has no place here; write ~ between the response and the covariates"),
        ("~ x", "formula must name the response before the ~"),
        ("a - b ~ x", r"the response is one column, or a function of columns such as log\(y\)"),
        ("a - b ~ x", r"several are joined by \+, as y1 \+ y2 ~ x"),
        ("a + ~ x", "the response is one column"),
        ("+ a ~ x", "the response is one column"),
        ("a b ~ x", "the response is one column"),
        ("a + 1 ~ x", "the response is one column"),
        ("(a + b) ~ x", "the response is one column"),
        ("a + b + a ~ x", "the response a stands before the ~ twice"),
        ("cbind() ~ x", "the response is one column"),
        ("cbind(a, 2) ~ x", "the response is one column"),
        ("cbind(a, b + c) ~ x", "the response is one column"),
        ("cbind(a, *b) ~ x", "the response is one column"),
        ("cbind(u=a, v=b) ~ x", "the response is one column"),
        ("cbind(a,, b) ~ x", "the response is one column"),
        ("cbind(a, b.c) ~ x", "put names with dots in backticks: `b.c`"),
        ("cbind(a, open('f')) ~ x", "there is no function open"),
        ("a + open('f') ~ x", "there is no function open"),
        ("cbind(a, cbind(b, c)) ~ x", "there is no function cbind"),
        ("a + cbind(b, c) ~ x", "there is no function cbind.*alone before the ~"),
        ("y ~ cbind(a, b)", "there is no function cbind.*join covariates by"),
        ("1 ~ x", "the response is one column"),
        ("y ~", "has nothing for the experts; write 1 for an intercept alone"),
        ("y ~ x |", "has nothing for the gate; write 1"),
        ("y ~ x | z | w", "formula may have one bar"),
        ("y ~ x +", "a column or a function is expected instead of the end"),
        ("y ~ x * * z", r"expected instead of '\*'"),
        ("y ~ (x", "a parenthesis is not closed before the end"),
        ("y ~ x)", r"'\)' is not expected here"),
        ("y ~ x z", "'z' is not expected here"),
        ("y ~ bs(x", r"a parenthesis is not closed in '\(x'"),
        ("y ~ C(x, 'a)", "a quotation mark is not closed"),
        ("y ~ 2*x", r"the number 2 is no term.* For arithmetic write I\(2 \* x\)"),
        ("y ~ x:1", "the number 1 is no term"),
        ("y ~ (1 + x):z", "the number 1 is no term"),
        ("y ~ x**2", r"For the square of a column write I\(x\*\*2\)"),
        ("y ~ (a + b)**1.5", "a power of terms is a whole number from 1 to 10"),
        ("y ~ (a + b)**x", "a power of terms is a whole number"),
        ("y ~ .", r"the character '\.' has no place here; list the columns one by one"),
        ("y ~ a %in% b", "the character '%' has no place here; write a:b"),
        ("y ~ Sepal.Length", "put names with dots in backticks: `Sepal.Length`"),
        ("y ~ lambda", "put this name in backticks: `lambda`"),
        ("y ~ __x", "put this name in backticks: `__x`"),
        ("y ~ x[0]", r"the character '\[' has no place here; columns are named, not indexed"),
        ("y ~ log()", "the first argument of log is a column"),
        ("y ~ log(x, 2)", "log takes one argument"),
        ("y ~ log(x x)", r"log\(x x\) is not an expression that can be read"),
        ("y ~ I(3)", r"I\(3\) holds no column"),
        ("y ~ lg(x)", r"there is no function lg; known are .* Did you mean 'log'\?"),
        ("y ~ np.log(x)", r"there is no function np\.log; .* Write log\(\.\.\.\)\."),
        ("y ~ factor(g)", r"there is no function factor; .* Write C\(\.\.\.\)\."),
        ("y ~ as.factor(g)", r"Write C\(\.\.\.\)\."),
        ("y ~ i.g(x)", "there is no function i.g"),
        ("y ~ offset(x)", r"Pass the column as offset='\.\.\.'"),
        ("y ~ s(x)", r"Write bs\(\.\.\., df=5\)"),
        ("y ~ C(x + 1)", "C takes the name of one column"),
        ("y ~ C(g, foo)", "foo is no coding; known are Diff, Helmert, Poly, Sum, Treatment"),
        ("y ~ C(g, Treatment(x))", r"Treatment\(x\) is no coding"),
        ("y ~ C(g, base='a')", r"C knows contrasts=Treatment\('a'\) and levels="),
        ("y ~ bs(x, df=z)", "after the column, bs takes numbers and words"),
        ("y ~ bs(x, df=1000)", "1000 is more than the limit of 100"),
        ("y ~ poly(x, 1000)", "1000 is more than the limit of 100"),
        ("y ~ bs(x, **z)", "settings are written one by one"),
        ("y ~ bs(x, _state=1)", "settings are written one by one"),
        ("y ~ bs(*x)", "the first argument of bs is a column"),
        ("y ~ I(0 < x < 1)", r"write comparisons one by one, as \(0 < x\) & \(x < 1\)"),
        ("y ~ I(x**101)", "an exponent is a number of at most 100"),
        ("y ~ I(x**z)", "an exponent is a number of at most 100"),
        ("y ~ I(x ^ 2)", r"x \^ 2 is not allowed; for a power write I\(x\*\*2\), with two stars"),
        ("y ~ I(x @ z)", "x @ z is not allowed; use"),
        ("y ~ bs(x, deg=2)", r"bs has no setting deg; it takes df, knots, degree, .*\. Did you mean 'degree'\?"),
        ("y ~ bs(x, dof=5)", r"bs has no setting dof; it takes df.* Did you mean 'df'\?"),
        ("y ~ center(x, 3)", "center takes no setting; got one more, 3"),
        ("y ~ cr(x, 5, None, 0, 9, 'center', 'clip')", "cr takes df, .*; got one more, 'clip'"),
        ("y ~ bs(x, 5, df=5)", "df is given twice. Leave one of them out"),
        ("y ~ bs(x, knots='a')", r"knots must be a list of numbers, as \[2, 3.5\]; got 'a'"),
        ("y ~ bs(x, df=4.5)", "df must be a whole number of at least 1, as 3; got 4.5"),
        ("y ~ bs(x, df=~4)", "df must be a whole number of at least 1, as 3; got ~4"),
        ("y ~ bs(x, df=1)", r"df is the number of columns, at least the degree, 3; got 1\. Write df=5\."),
        ("y ~ bs(x, df=3, include_intercept=True)", "at least the degree, 3, and one for the constant; got 3. Write"),
        ("y ~ bs(x, degree=-1)", "degree must be a whole number of at least 0, as 3; got -1"),
        ("y ~ bs(x, degree=0)", "steps, of degree 0, need df or knots"),
        ("y ~ bs(x, df=5, knots=[2])", "df chooses the knots, so give df or knots, not both"),
        ("y ~ bs(x, lower_bound=3, upper_bound=2)", "lower_bound must be less than upper_bound; got 3 and 2"),
        ("y ~ bs(x, extrapolation='no')", "extrapolation must be one of 'clip', 'extend', .*; got 'no'"),
        ("y ~ cr(x)", r"cr needs df or knots; write cr\(..., df=5\)"),
        ("y ~ cr(x, df=1)", "df is the number of columns, at least 2; got 1"),
        ("y ~ cr(x, df=4, constraints='mean')", "constraints must be 'center' or a list of numbers; got 'mean'"),
        ("y ~ poly(x, raw=1)", "raw must be True or False; got 1"),
        ("y ~ C(g, Treatment(ref='b'))", "Treatment has no setting ref; it takes reference. Did you mean 'reference'"),
        ("y ~ C(g, Sum('a'))", "Sum takes no setting; got one more, 'a'"),
        ("y ~ I(x == None + 1)", "arithmetic is for columns and numbers"),
        ("y ~ `my col", "has no place here"),
        ("y ~ " + "x" * 20_001, "formula must have at most 20000 characters"),
        ("y ~ " + "(" * 51 + "x" + ")" * 51, "parentheses are nested more than 50 deep"),
        ("y ~ log(" + "(" * 101 + "x" + ")" * 102, None),
        ("y ~ I(" + "-" * 5000 + "x)", "is not an expression that can be read"),
        ("y ~ " + "*".join("abcdefghijklmnopqrstuvw"), "it stands for more than 5000 terms"),
        ("y ~ (" + "+".join(f"x{i}" for i in range(99)) + ")**10", "it stands for more than 5000 terms"),
    ],
)
def test_formulas_that_cannot_be_read(formula, message):
    if message is None:  # parentheses leave no trace in a syntax tree
        assert parse(formula)
        return
    with pytest.raises(InputError, match=message):
        parse(formula)


def test_a_thousand_columns_are_read():
    names = [f"x{i}" for i in range(1000)]
    assert terms(parse(f"y ~ {' + '.join(names)}").expert) == names


# --------------------------------------------------------------------------------------- hostile text
HOSTILE = [
    "__import__('os').system('true')",
    "I(__import__('os').system('true'))",
    "I(x.__class__.__mro__)",
    "I(().__class__)",
    "log(open('/etc/passwd').read())",
    "I(eval('1'))",
    "I(np.load('a'))",
    "np.load(x)",
    "{__import__('os').system('true')}",
    "C(g, levels=__import__('os').listdir())",
    "C(g, levels=[__import__('os').getlogin()])",
    "C(g, Treatment(__import__('os')))",
    "bs(x, df=(lambda: 4)())",
    "bs(x, knots=[y for y in (1,)])",
    "I((y := x))",
    "I(x if x else y)",
    "I(x or y)",
    "I(f'{x}')",
    "I(x[0])",
    "I(*x)",
    "I(9**9**9)",
    "I(x + 9**9**9)",
    "I(x + (1 + 8)**99999999)",
    "I('a' * 999999999999)",
    "I(x == 'a' * 999999999999)",
    "I([1] * 999999999999)",
    "I(1 << 999999999999)",
    "I(x @ x)",
    "I(await_(x))",
    "I((yield x))",
    "hashed(x, levels=9999999999)",
    "lag(x, 1)",
    "Q('x')",
    "contr.treatment(x)",
    "`x`.__class__",
    "log(`__import__`('os'))",
    "I(x == b'a')",
    "I(x + 1j)",
    "I(x == ...)",
    """bs(x, df=4, extrapolation='"] or exec(chr(49)) or ["')""",
    """scale(I(g == '") or exec(chr(49)) or ("'))""",
    r"C(g, Treatment('a\\'))",
    r"C(g, Treatment('a\n'))",
    """C(g, Treatment("it's"))""",
    "C(g, Treatment('`x`'))",
]


@pytest.mark.parametrize("term", HOSTILE)
def test_hostile_terms_are_refused_before_anything_is_run(term, monkeypatch, data):
    monkeypatch.setattr("os.system", lambda *_: pytest.fail("it was run"))
    monkeypatch.setattr("moestat.formula.as_frame", lambda *_: pytest.fail("it went beyond the check"))
    for formula in (f"y ~ {term}", f"y ~ x | {term}", f"{term} ~ x", f"y ~ x + x:{term}"):
        with pytest.raises(InputError):
            ms.moe(formula, data)


PIECES = "y x g ~ | + - * : / ** 2 1 0 ( ) , log( C(g bs(x,df=4) I( x**2 `x` ' \" __ . poly(x,2) lambda = ["


@settings(deadline=None, max_examples=300)
@given(
    st.one_of(
        st.text(max_size=40),
        st.text("xyg1029.~|+-*/:^()`'\" ,=[]{}_<>&@#\\\n", max_size=40),
        st.lists(st.sampled_from(PIECES.split()), max_size=14).map(" ".join),
    )
)
def test_any_text_is_a_formula_or_an_input_error(text):
    for formula in (text, f"y ~ {text}"):
        try:
            parsed = parse(formula)
        except InputError:
            continue
        assert all(response.text for response in parsed.responses)


#: Some of them go together, some do not.
TERMS = (
    "x z g year 1 0 `hours` C(year) C(g,Sum) C(g,Treatment('q')) C(g,levels=['a']) log(x) log(g) sqrt(z) I(x**2) "
    "I(x>2) I(g+1) I(x/0) I(x//(year-1990)) I(g=='a') bs(x,df=4) bs(x,df=1) poly(z,2) scale(g) cr(x,df=3)"
)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(TERMS.split()), min_size=1, max_size=4), st.sampled_from(["+", "*", ":", "-", "/"]))
def test_any_formula_gives_a_model_or_an_input_error(pieces, operator):
    try:
        model = ms.moe(f"y ~ {operator.join(pieces)}", _rows(160))
    except InputError:
        return
    assert len(model.X) == 160
    again = model.design.rows(_rows(160))
    assert np.array_equal(again[0], model.X)


# --------------------------------------------------------------------------------------- the same fit as with arrays
def dummies(column, levels):
    return np.column_stack([(column == level).astype(float) for level in levels])


ARRAYS = {
    "y ~ x": lambda d: (d[["x"]], None),
    "y ~ x | z": lambda d: (d[["x"]], d[["z"]]),
    "y ~ x | 1": lambda d: (d[["x"]], np.empty((160, 0))),
    "y ~ 1 | z": lambda d: (None, d[["z"]]),
    "y ~ x + C(g) | z": lambda d: (np.column_stack([d["x"], dummies(d["g"], "bc")]), d[["z"]]),
    "y ~ x*z | z": lambda d: (np.column_stack([d["x"], d["z"], d["x"] * d["z"]]), d[["z"]]),
    "y ~ log(x) + I(z**2)": lambda d: (np.column_stack([np.log(d["x"]), d["z"] ** 2]), None),
}


@pytest.mark.parametrize("formula", ARRAYS)
def test_a_formula_is_the_fit_of_its_arrays(formula, data):
    """To the last bit: the columns are the same numbers in the same order."""
    X, Z = ARRAYS[formula](data)
    X = None if X is None else np.asarray(X)
    Z = None if Z is None else np.asarray(Z)
    arrays = ms.fit(ms.MixtureOfExperts(), X, data["y"].to_numpy(), Z, n_starts=2)
    ours = fitted(formula)
    assert ours.llf == arrays.llf
    assert np.array_equal(ours.theta, arrays.theta)
    assert np.array_equal(ours.bse, arrays.bse)
    assert np.array_equal(ours.predict(data), arrays.predict())


def test_intercepts_left_out_are_held_at_zero(data):
    ours = fitted("y ~ 0 + x | 0 + z")
    held = {"expert.intercepts": 0.0, "gate.intercepts": 0.0}
    arrays = ms.fit(ms.MixtureOfExperts(fixed=held), data[["x"]], data["y"], data[["z"]], n_starts=2)
    assert np.array_equal(ours.theta, arrays.theta)
    assert ours.model.fixed == held
    assert np.all(ours.params.expert.intercepts == 0.0)


def test_without_an_intercept_every_level_has_a_column(data):
    model = ms.moe("y ~ 0 + C(g)", data)
    assert list(model.X.columns) == ["C(g)[a]", "C(g)[b]", "C(g)[c]"]
    assert list(model.Z.columns) == ["C(g)[T.b]", "C(g)[T.c]"]  # the gate keeps its intercepts


def test_a_tuple_of_families_can_do_without_intercepts(data):
    model = ms.moe("y ~ 0 + x | z", data, expert="gaussian, gaussian(variance='common')").model
    assert set(model.fixed) == {"expert.0.intercepts", "expert.1.intercepts"}


def test_fixed_fields_of_the_user_stay(data):
    model = ms.moe("y ~ 0 + x | z", data, fixed={"expert.variances": 1.0}).model
    assert model.fixed == {"expert.variances": 1.0, "expert.intercepts": 0.0}
    refused("y ~ 0 + x", "holds expert.intercepts at zero .* fixed holds it too", fixed={"expert.intercepts": 1.0})


def test_a_mapping_of_columns_is_a_table(data):
    columns = {name: data[name].to_numpy() for name in ("x", "z", "y")}
    ours = fitted("y ~ x | z", columns)
    assert np.array_equal(ours.theta, fitted("y ~ x | z").theta)
    assert np.array_equal(ours.predict(columns), fitted("y ~ x | z").predict(data))


@pytest.mark.parametrize("dtype", ["Int64", "int32", object, "category"])
def test_a_category_may_be_of_any_dtype(dtype, data):
    model = ms.moe("y ~ C(year)", data.astype({"year": dtype}))
    assert list(model.X.columns) == ["C(year)[T.1991]"]
    assert np.array_equal(model.X.to_numpy()[:, 0], data["year"] == 1991)


@pytest.mark.parametrize("dtype", [object, "category", "string", "str"])
def test_strings_are_categories_without_being_told(dtype, data):
    model = ms.moe("y ~ g", data.astype({"g": dtype}))
    assert list(model.X.columns) == ["g[T.b]", "g[T.c]"]


def test_a_categorical_keeps_its_order_and_loses_unused_levels(data):
    levels = pd.Categorical(data["g"], categories=["c", "unused", "a", "b"])
    assert list(ms.moe("y ~ g", data.assign(g=levels)).X.columns) == ["g[T.a]", "g[T.b]"]


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "boolean", bool, "float32", object])
def test_numbers_may_be_of_any_dtype(dtype, data):
    column = (data["x"] > 2).astype(int)
    model = ms.moe("y ~ k", data.assign(k=column.astype(dtype)))
    assert np.array_equal(model.X["k"], column)


def test_whole_numbers_do_not_overflow(data):
    model = ms.moe("y ~ I(year**30)", data)
    assert np.all(model.X.to_numpy() > 1e90)


def test_names_are_carried_into_the_summary(rich):
    assert "gate[1].center(unit price)" in rich.names
    assert "expert[2].bs(x, df=4)[3]" in rich.names
    assert "expert[1].C(g)[T.b]" in rich.names
    text = rich.summary().as_text()
    assert "Mixture of experts: y ~ bs(x, df=4) + C(g) | z + center(`unit price`)" in text
    assert "Rows dropped" not in text
    assert rich.t_test("expert[1].C(g)[T.b] = expert[2].C(g)[T.b]").pvalue < 1


def test_the_response_may_be_a_function(data):
    ours = fitted("I(y + 5) ~ x | z")
    assert ours.schema.responses == ("I(y + 5)",)
    assert np.allclose(ours.predict(data), fitted("y ~ x | z").predict(data) + 5, atol=1e-6)
    assert np.array_equal(ours.log_density(data), ours.log_density(data, data["y"] + 5))


# --------------------------------------------------------------------------------------- several responses
SEVERAL = {"expert": "multivariate_gaussian"}


@pytest.mark.parametrize(
    "left", ["y + `unit price`", "cbind(y, `unit price`)", "cbind (y,`unit price`)", " y+`unit price` "]
)
def test_several_responses_are_the_fit_of_arrays(left, data):
    ours = fitted(f"{left} ~ x | z", **SEVERAL)
    X, Y, Z = data[["x"]], data[["y", "unit price"]], data[["z"]]
    theirs = ms.fit(ms.MixtureOfExperts(**SEVERAL), X, Y, Z, n_starts=2)
    assert ours.schema == theirs.schema
    assert ours.names == theirs.names
    np.testing.assert_array_equal(ours.theta, theirs.theta)
    new = data.head(9)
    known, scored = (X.head(9), Z.head(9)), (X.head(9), Y.head(9), Z.head(9))
    np.testing.assert_array_equal(ours.predict(new), theirs.predict(*known))
    np.testing.assert_array_equal(ours.predict(new.drop(columns="y")), theirs.predict(*known))
    np.testing.assert_array_equal(ours.responsibilities(new), theirs.responsibilities(*scored))
    np.testing.assert_array_equal(ours.log_density(new), theirs.log_density(*scored))
    np.testing.assert_array_equal(ours.sample(new, seed=3), theirs.sample(*known, seed=3))
    pd.testing.assert_frame_equal(
        ours.get_prediction(new).summary_frame(), theirs.get_prediction(*known).summary_frame(), check_exact=True
    )


def test_functions_among_several_responses(data, tmp_path):
    """Each is made as it would be alone; what scale learnt is kept for new rows and in a file."""
    ours = fitted("log(hours) + y + scale(`unit price`) ~ x | z", **SEVERAL)
    price = data["unit price"]
    Y = np.column_stack([np.log(data["hours"]), data["y"], (price - price.mean()) / price.std()])
    assert ours.schema.responses == ("log(hours)", "y", "scale(unit price)")
    theirs = ms.fit(ms.MixtureOfExperts(**SEVERAL), data[["x"]], Y, data[["z"]], n_starts=2)
    np.testing.assert_allclose(ours.llf, theirs.llf, rtol=1e-10)
    new = data.head(5)
    np.testing.assert_allclose(ours.log_density(new), ours.log_density(new, Y[:5]), rtol=1e-12)
    again = ms.load(ours.save(tmp_path / "several"))
    np.testing.assert_array_equal(again.log_density(new), ours.log_density(new))
    assert again.design.computed_from == {"log(hours)": ("hours",), "scale(unit price)": ("unit price",)}


def test_one_response_is_read_from_older_files(data):
    """They have one description of the response where there is now a list."""
    for left in ("y", "log(hours)"):
        design = ms.moe(f"{left} ~ x", data).design
        described = json.loads(json.dumps(design.to_dict()))
        (described["response"],) = described.pop("responses")
        again = type(design).from_dict(described)
        assert again.responses == design.responses


def test_several_responses_without_intercepts_weights_and_gaps(data):
    data.loc[3, "hours"] = np.nan
    with pytest.raises(InputError, match=r"1 of 160 rows has missing entries, in hours \(1\)"):
        ms.moe("y + hours ~ x", data, **SEVERAL)
    model = ms.moe("y + hours ~ 0 + x | z", data, weights="times", missing="drop", **SEVERAL)
    assert list(model.y) == ["y", "hours"]
    assert len(model.y) == 159
    results = model.fit(n_starts=2)
    assert (results.params.expert.intercepts == 0).all()
    assert results.nobs == data["times"].sum() - data["times"][3]


@pytest.mark.parametrize("expert", ["gaussian", "gamma", "poisson", "binomial", "noise"])
def test_experts_for_one_response_refuse_several(expert, data):
    with pytest.raises(InputError, match=rf"the {expert} expert models one response; got 2 columns in y"):
        ms.moe("times + year ~ x", data, expert=expert).fit()


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("y + party ~ x", "column 'party' must hold numbers; got '(red|blue)'"),
        ("y + C(g) ~ x", r"the response must be one column; got C\(g\)"),
        ("y + poly(hours, 2) ~ x", r"the response poly\(hours, 2\) must be one column of numbers"),
        ("y + hours ~ x | hours", "the response 'hours' is among the gate's covariates too"),
        ("y + w ~ x", "data has no column 'w'"),
    ],
)
def test_several_responses_that_are_refused(formula, message):
    refused(formula, message, **SEVERAL)


@pytest.mark.filterwarnings("ignore::moestat.errors.ConvergenceWarning")  # some families suit these rows badly
@pytest.mark.parametrize("name", EXPERTS)
def test_every_expert_can_be_fitted_by_a_formula(name, data):
    """With one partner for families that have no parameters of their own; the same numbers as from arrays."""
    data["units"] = np.arange(len(data)) % 4
    left, expert, known = {
        "multivariate_gaussian": ("y + hours", name, {}),
        "multinomial": ("party", name, {}),
        "poisson": ("times", name, {}),
        "binomial": ("units", name, {"exposure": np.full(len(data), 6.0)}),
        "gamma": ("hours", name, {}),
        "known": ("y", "known('t', shapes=(3,), scale=0.5), gaussian", {}),
        "noise": ("y", "noise(level=2.0), gaussian", {}),
        "zero": ("units", "zero, poisson", {}),
    }.get(name, ("y", name, {}))
    ours = fitted(f"{left} ~ x | z", data, expert=expert, n_starts=1, **known)
    y = data[left.split(" + ")] if "+" in left else data[left]
    theirs = ms.fit(ms.MixtureOfExperts(expert=expert), data[["x"]], y, data[["z"]], n_starts=1, **known)
    np.testing.assert_array_equal(ours.theta, theirs.theta)


def test_labels_are_one_response():
    with pytest.raises(InputError, match="y must be a vector of class labels"):
        ms.moe("party + g ~ x", _rows(160), expert="multinomial").fit()


# --------------------------------------------------------------------------------------- classes
def test_class_labels_are_taken_as_they_are(data):
    ours = fitted("party ~ x | 1", expert="multinomial", n_experts=1)
    assert ours.schema.classes == ("blue", "red")
    arrays = ms.fit(
        ms.MixtureOfExperts(expert="multinomial", n_experts=1),
        data[["x"]],
        data["party"],
        np.empty((160, 0)),
        n_starts=2,
    )
    assert np.array_equal(ours.theta, arrays.theta)
    assert np.array_equal(ours.log_density(data), arrays.log_density(data[["x"]], data["party"], np.empty((160, 0))))
    assert set(ours.sample(data)) <= {"blue", "red"}


def test_classes_and_numbers_are_not_confused():
    refused("party ~ x", "column 'party' must hold numbers; got '(red|blue)'")
    refused("C(party) ~ x", r"got C\(party\)\. Write party ~ \.\.\. and pass expert='multinomial'")
    refused("C(party) ~ x", r"Write party ~ \.\.\.: experts for classes take them as they are", expert="multinomial")
    with pytest.raises(InputError, match="y must hold class labels"):
        fitted("y ~ x", expert="multinomial")


# --------------------------------------------------------------------------------------- weights, offset, exposure
def test_weights_are_a_column_or_an_array(data):
    by_name = fitted("y ~ x | z", weights="times")
    by_array = fitted("y ~ x | z", weights=data["times"].to_numpy())
    arrays = ms.fit(ms.MixtureOfExperts(), data[["x"]], data["y"], data[["z"]], data["times"], n_starts=2)
    assert np.array_equal(by_name.theta, arrays.theta)
    assert np.array_equal(by_array.theta, arrays.theta)
    assert by_name.nobs == data["times"].sum()


def test_rows_of_weight_zero_may_hold_anything(data):
    weight = np.ones(160)
    weight[:20] = 0.0
    spoilt = data.copy()
    spoilt.loc[:9, "x"] = np.nan
    spoilt.loc[10:19, "g"] = "unknown"
    model = ms.moe("y ~ bs(x, df=4) + g | z", spoilt, weights=weight)
    clean = ms.moe("y ~ bs(x, df=4) + g | z", data[20:])
    assert np.array_equal(model.X, clean.X)
    assert model.design.n_dropped == 0
    assert model.kept.sum() == 140


def test_an_offset_of_a_column_is_read_from_new_rows(data):
    by_name = fitted("y ~ x | z", offset="hours")
    arrays = ms.fit(ms.MixtureOfExperts(), data[["x"]], data["y"], data[["z"]], offset=data["hours"], n_starts=2)
    assert np.array_equal(by_name.theta, arrays.theta)
    expected = arrays.predict(data[["x"]], data[["z"]], offset=data["hours"])
    assert np.array_equal(by_name.predict(data), expected)
    assert np.array_equal(by_name.predict(data, offset=np.zeros(160)), arrays.predict(data[["x"]], data[["z"]]))
    with pytest.raises(InputError, match="X has no column 'hours'"):
        by_name.predict(data.drop(columns="hours"))


def test_an_exposure_goes_where_it_can():
    with pytest.raises(InputError, match="the gaussian expert takes no exposure"):
        fitted("y ~ x", exposure="hours")


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"weights": "weigth"}, "data has no column 'weigth'"),
        ({"offset": "hour"}, r"data has no column 'hour'; .* Did you mean 'hours'\?"),
        ({"weights": [1.0, 2.0]}, r"weights must be the name of a column, or hold one number for each of the 160 rows"),
        ({"offset": 3.0}, r"offset must be the name of a column, or .*; got shape \(\)"),
        ({"weights": "g"}, "column 'g' must hold numbers; got '[abc]'"),
        ({"weights": np.zeros(160)}, "no row is left of 160: all weights are zero"),
        ({"missing": "ignore"}, "missing must be 'raise' or 'drop'; got 'ignore'"),
        ({"gate": "softmx"}, r"Did you mean 'softmax'\?"),
    ],
)
def test_settings_that_are_refused(settings_, message):
    refused("y ~ x", message, **settings_)


# --------------------------------------------------------------------------------------- missing rows
@pytest.fixture
def gappy(data):
    data.loc[[3, 7], "x"] = np.nan
    data.loc[7, "g"] = None
    data.loc[50, "y"] = np.nan
    data.loc[60, "unit price"] = np.nan  # in no formula here
    return data


def test_missing_entries_are_refused_with_their_count(gappy):
    message = r"data: 3 of 160 rows have missing entries, in y \(1\), x \(2\), g \(1\); the first is row 3\. Fill them"
    refused("y ~ x + g | z", message, data=gappy)


def test_a_single_missing_row_is_one_row(data):
    data.loc[5, "z"] = np.nan
    refused("y ~ x | z", r"1 of 160 rows has missing entries, in z \(1\)", data=data)


def test_missing_rows_are_dropped_when_asked(gappy):
    model = ms.moe("y ~ bs(x, df=4) + g | z", gappy, missing="drop")
    whole = ms.moe("y ~ bs(x, df=4) + g | z", gappy.drop(index=[3, 7, 50]))
    assert np.flatnonzero(~model.kept).tolist() == [3, 7, 50]
    assert np.array_equal(model.X, whole.X)
    assert repr(model).endswith("softmax gate, 2 x gaussian, 157 rows, 3 dropped)")
    results = model.fit(n_starts=1)
    assert results.nobs == 157
    assert results.design.n_dropped == 3
    assert re.search(r"Rows dropped: +3, for missing entries", results.summary().as_text())


def test_missing_weights_count(data):
    data["times"] = data["times"].astype(float)
    data.loc[0, "times"] = np.nan
    refused("y ~ x", r"1 of 160 rows has missing entries, in times \(1\)", weights="times", data=data)
    assert ms.moe("y ~ x", data, weights="times", missing="drop").sample_weight.shape == (159,)


def test_nothing_left_is_said(data):
    data["x"] = np.nan
    refused("y ~ x", r"no row is left of 160: 160 of 160 rows have missing entries", data=data, missing="drop")


# --------------------------------------------------------------------------------------- tables that are refused
@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("y ~ X", r"data has no column 'X'; it has 'x', 'z', .*\. Did you mean 'x'\?"),
        ("effect ~ x", "data has no column 'effect'"),
        ("y ~ unit_price", r"Did you mean 'unit price'\?"),
        ("y ~ nothing + here", "data has no columns 'nothing', 'here'"),
        ("y ~ x | Z", "data has no column 'Z'"),
        ("y ~ np", "data has no column 'np'"),
        ("y ~ I(open)", "data has no column 'open'"),
        ("y ~ log(z)", r"log\(z\) must be finite; got nan in row \d+ \(\d+ such rows\)"),
        ("y ~ log(g)", r"log\(g\) cannot be computed: g holds text \(categories\); functions need numbers\. Write g"),
        ("y ~ I(g + 1)", r"g holds text \(categories\); functions need numbers.* or I\(g == 'a'\) for one level\.$"),
        ("log(g) ~ x", r"log\(g\) cannot be computed: g holds text"),
        ("y ~ bs(x, lower_bound=2)", "there are values beyond lower_bound or upper_bound. Move the bounds"),
        (
            "y ~ cr(x, knots=[9])",
            r"the knots \[9\] lie above the largest value \(or bound\), 2\.99\d+\. Leave them out",
        ),
        ("y ~ cr(times, knots=[1, 2])", "its knots are not all different: .* a knot lies at its smallest or largest"),
        ("y ~ I(x > 'a')", "numbers are compared with text"),
        ("y ~ I(x & z)", r"& \| ~ are for comparisons, each in parentheses"),
        ("y ~ unit price | z", r"'price' is not expected here\. For the column 'unit price' write `unit price`, in"),
        ("y ~ unit_price | z", "For the column 'unit price' write `unit price`, in backticks"),
        ("y ~ ti mes", r"For the column 'times' write times\."),
        ("y ~ x x", "'x' is not expected here.$"),
        ("y ~ y", "the response 'y' is among the experts' covariates too, so it would explain itself. Take it out"),
        ("y ~ x | z + log(y)", "the response 'y' is among the gate's covariates too"),
        ("log(x) ~ x", "the response 'x' is among the experts' covariates too"),
        ("y ~ log(`unit  price`)", "data has no column 'unit  price'"),
        ("y ~ C(g, levels=['a', 'b'])", r"levels=\[\.\.\.\] must list every level that occurs; it lacks \{'c'\}"),
        ("y ~ C(g, Treatment('q'))", r"Treatment\('q'\)\): column 'g' has no level 'q'; known are 'a', 'b', 'c'\."),
        ("y ~ C(year, Treatment('1990'))", r"known are 1990, 1991\. Write Treatment\(1990\)\."),
        ("y ~ C(g, Poly(scores=[1, 2]))", "column 'g' has 3 levels, .*, and scores has 2 entries. Give one per level"),
    ],
)
def test_columns_that_do_not_fit(formula, message):
    refused(formula, message)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([1, 2], "data must be a pandas DataFrame, or a mapping of names to columns; got list"),
        (None, "data must be a pandas DataFrame"),
        ({"x": [1, 2], "y": [1]}, "data must map names to columns of one length"),
        ({"x": 1.0, "y": 2.0}, "data must map names to columns of one length"),
        ({"x": [], "y": []}, "data must have at least one row"),
        (pd.DataFrame(np.ones((3, 2)), columns=["x", "x"]).assign(y=1.0), "data has several columns called 'x'"),
        ({"x": ["a", 1, "b"], "y": [1.0, 2.0, 3.0]}, "column 'x' mixes entries of types int, str"),
        ({"x": [1j, 2j], "y": [1.0, 2.0]}, "column 'x' holds complex128; a formula takes numbers, strings"),
        ({"x": pd.date_range("2020", periods=2), "y": [1.0, 2.0]}, "column 'x' holds datetime64"),
        ({"x": [[1], [2]], "y": [1.0, 2.0]}, "column 'x' mixes entries"),
        ({"x": [10**400, 1], "y": [1.0, 2.0]}, "column 'x' holds a number beyond double precision"),
        ({"x": [np.inf, 1.0], "y": [1.0, 2.0]}, "x must be finite; got inf in row 0"),
    ],
)
def test_tables_that_are_refused(table, message):
    refused("y ~ x", message, data=table)


def test_another_library_s_table_is_pointed_to_pandas():
    class Frame:
        def to_pandas(self):
            raise AssertionError

    refused("y ~ x", r"got Frame\. Call its to_pandas\(\)", data=Frame())


def test_names_need_not_be_strings(data):
    model = ms.moe("y ~ `0`", data.rename(columns={"x": 0}))
    assert list(model.X.columns) == ["0"]


def test_names_may_be_functions_or_keywords(data):
    table = data.rename(columns={"x": "log", "z": "class"})
    model = ms.moe("y ~ log + `class`", table)
    assert np.array_equal(model.X, data[["x", "z"]])


def test_fit_takes_options_only(data):
    with pytest.raises(InputError, match=r"sample_weight must be given to moe\(\.\.\.\)"):
        ms.moe("y ~ x", data).fit(sample_weight=np.ones(160))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (
            "const",
            1.0,
            "the covariate 'const' is constant, .* have an intercept already.* Leave the column 'const' out",
        ),
        ("const", None, r"names must be distinct; \['expert\[1\]\.const', .* Rename the covariate that is named like"),
        ("variance", None, r"names must be distinct; \['expert\[1\]\.variance', .* Rename the covariate"),
    ],
)
def test_covariates_named_like_parameters(column, value, message, data):
    table = data.assign(**{column: data["z"] if value is None else value})
    with pytest.raises(InputError, match=message):
        ms.moe(f"y ~ x + {column}", table).fit()
    with pytest.raises(InputError, match=message):
        ms.MoERegressor().fit(table[["x", column]], table["y"])


@pytest.mark.parametrize(
    ("term", "count"),
    [
        ("bs(x, 5)", 5),
        ("bs(x, df=4, degree=0)", 4),
        ("bs(x, knots=[2], degree=2, extrapolation='clip')", 3),
        ("cr(x, df=4, constraints='center')", 4),
        ("cc(x, knots=[1.5, 2.0], lower_bound=1, upper_bound=3)", 3),
        ("poly(x, 2, raw=True)", 2),
        ("scale(x, ddof=0)", 1),
        ("standardize(x, rescale=False)", 1),
        ("C(g, Treatment(reference='b'))", 2),
        ("C(g, contrasts=Helmert(scale=True))", 2),
        ("C(g, Poly(scores=[1, 2, 4]))", 2),
    ],
)
def test_settings_that_are_taken(term, count, data):
    assert ms.moe(f"y ~ {term}", data).X.shape == (160, count)


def test_a_change_may_be_explained_by_where_it_began(data):
    assert list(ms.moe("I(y - x) ~ x", data).X.columns) == ["x"]


# --------------------------------------------------------------------------------------- new rows
READERS = ["predict", "responsibilities", "log_density", "density", "gate_weights", "expert_means", "sample"]


@pytest.mark.parametrize("method", READERS)
def test_results_read_the_columns_of_the_formula(method, rich, data):
    """What comes of a table is what comes of its covariates."""
    X, Z, y, *_ = rich.design.rows(data, scored=True)
    given_ = {"Z": Z} if method == "gate_weights" else {"X": X, "Z": Z}
    if method in ("responsibilities", "log_density", "density"):
        given_["y"] = y
    assert np.array_equal(getattr(rich, method)(data), getattr(rich, method)(**given_))


def test_predictions_with_standard_errors_read_tables(rich, data):
    frame = rich.get_prediction(data).summary_frame()
    assert np.array_equal(frame["mean"], rich.predict(data))


def test_the_rows_of_the_fit_come_back_from_the_table(rich, data):
    assert np.array_equal(rich.predict(data), rich.predict())
    assert np.array_equal(rich.responsibilities(data), rich.responsibilities())


def test_a_row_alone_is_what_it_is_among_others(rich, data):
    """Knots and means are those of the fit, not of the new rows."""
    alone = [rich.predict(data[i : i + 1])[0] for i in range(10)]
    assert np.allclose(alone, rich.predict(data)[:10], rtol=1e-13)


def test_gate_weights_need_the_gate_s_columns_only(rich, data):
    weights = rich.gate_weights(data[["z", "unit price"]])
    assert np.array_equal(weights, rich.gate_weights(data))
    assert np.allclose(weights, rich.gate_weights(), rtol=1e-12)


def test_a_frame_of_covariates_is_still_a_frame_of_covariates(data):
    model = ms.moe("y ~ center(x)", data)
    results = model.fit(n_starts=2)
    assert np.array_equal(results.predict(model.X), results.predict(data))
    constant = ms.moe("y ~ center(x) | 1", data)
    results = constant.fit(n_starts=2)
    assert np.array_equal(results.predict(constant.X), results.predict(data))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.assign(g="d"), r"column 'g' has the level 'd', not seen in the fit; known are 'a', 'b', 'c'"),
        (lambda d: d.assign(g=[*"de"] * 80), "column 'g' has levels 'd', 'e', not seen in the fit"),
        (lambda d: d.assign(g="A"), r"known are 'a', 'b', 'c'\. Did you mean 'a'\?"),
        (lambda d: d.assign(g=1), "column 'g' has the level 1"),
        (lambda d: d.drop(columns="z"), "X has no column 'z'; it has 'x', 'g', "),
        (lambda d: d.rename(columns={"z": "Z"}), r"X has no column 'z'; .* Did you mean 'Z'\?"),
        (lambda d: d.assign(x="high"), "column 'x' must hold numbers; got 'high'"),
        (
            lambda d: d.assign(x=np.where(d.index < 2, np.nan, d["x"])),
            r"2 of 160 rows have missing entries, in x \(2\)",
        ),
        (lambda d: d.assign(z=np.inf), "z must be finite; got inf in row 0"),
        (
            lambda d: d.assign(x=3 * d["x"]),
            r"bs\(x, df=4\) cannot be computed: the fit saw values from .*extrapolation=",
        ),
        (lambda d: d[:0], "X must have at least one row"),
    ],
)
def test_new_rows_that_do_not_fit(change, message, rich, data):
    with pytest.raises(InputError, match=message):
        rich.predict(change(data))


def test_the_response_is_needed_only_where_it_counts(rich, data):
    blind = data.drop(columns="y")
    assert rich.predict(blind).shape == (160,)
    assert np.array_equal(rich.log_density(blind, data["y"]), rich.log_density(data))
    with pytest.raises(InputError, match="X has no column 'y'"):
        rich.log_density(blind)


def test_results_of_arrays_read_no_tables(data):
    results = ms.fit(ms.MixtureOfExperts(), data[["x"]], data["y"], n_starts=1)
    assert results.design is None
    with pytest.raises(InputError, match="X must"):
        results.predict(data)


# --------------------------------------------------------------------------------------- storage
EVERYTHING = (
    "scale(y) ~ bs(x, df=5, degree=2) + cr(hours, df=3, constraints='center') + C(g, Sum):z "
    "| C(year) + poly(z, 2) + standardize(`unit price`)"
)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    results = fitted(EVERYTHING, n_starts=4)
    path = results.save(tmp_path_factory.mktemp("formulas") / "fit")
    return results, path


@pytest.mark.parametrize("method", READERS)
def test_a_loaded_fit_reads_tables_to_the_last_bit(method, stored, data):
    results, path = stored
    for rows in (data, data[:1], data[100:50:-1]):
        assert np.array_equal(getattr(ms.load(path), method)(rows), getattr(results, method)(rows))


def test_a_loaded_fit_prints_the_same_summary(stored):
    results, path = stored
    assert ms.load(path).summary().as_text() == results.summary().as_text()


def test_a_loaded_fit_can_be_saved_again(stored, tmp_path, data):
    results, path = stored
    again = ms.load(ms.load(path).save(tmp_path / "again"))
    assert np.array_equal(again.predict(data), results.predict(data))


def test_the_file_holds_numbers_and_text(stored):
    header, _ = storage.read(stored[1])
    design = header["design"]
    assert design["formula"] == EVERYTHING
    assert dict(design["levels"])["g"] == ["a", "b", "c"]
    assert json.loads(json.dumps(design)) == design


def test_a_hostile_formula_in_a_file_is_refused(stored, tmp_path):
    header, arrays = storage.read(stored[1])
    for key in ("format", "version"):
        header.pop(key)
    header["design"]["formula"] = "y ~ I(__import__('os').system('true'))"
    path = storage.write(tmp_path / "hostile", header, arrays)
    with pytest.raises(InputError, match="there is no function"):
        ms.load(path)


def test_a_formula_with_other_columns_in_a_file_is_refused(stored, tmp_path):
    """Else a name that is no column would be looked up among Python's own."""
    header, arrays = storage.read(stored[1])
    for key in ("format", "version"):
        header.pop(key)
    header["design"]["formula"] += " + I(exit)"
    path = storage.write(tmp_path / "other", header, arrays)
    with pytest.raises(InputError, match="the file's columns are not those of its formula"):
        ms.load(path)


def test_a_damaged_design_is_refused(stored, tmp_path):
    header, arrays = storage.read(stored[1])
    for key in ("format", "version"):
        header.pop(key)
    del header["design"]["expert"]["states"]
    path = storage.write(tmp_path / "damaged", header, arrays)
    with pytest.raises(InputError, match="is not a complete file of fitted results"):
        ms.load(path)


# --------------------------------------------------------------------------------------- unsafe formulas
def doubled(column):
    return 2 * column


def test_an_unsafe_formula_is_python(data):
    ours = fitted("y ~ doubled(x) + np.log(x.clip(1.5)) | z", unsafe_formula=True)
    X = np.column_stack([2 * data["x"], np.log(data["x"].clip(1.5))])
    arrays = ms.fit(ms.MixtureOfExperts(), X, data["y"], data[["z"]], n_starts=2)
    assert np.array_equal(ours.theta, arrays.theta)
    assert np.array_equal(ours.predict(data), arrays.predict())


def test_it_sees_the_names_around_the_call(data):
    limit = 1.7
    model = ms.moe("y ~ I(x > limit)", data, unsafe_formula=True)
    assert np.array_equal(model.X.to_numpy()[:, 0], data["x"] > limit)


def test_without_leave_it_is_refused():
    refused("y ~ doubled(x)", "there is no function doubled")


def test_an_unsafe_formula_is_not_run_from_a_file(tmp_path, data):
    results = fitted("y ~ doubled(x) | z", unsafe_formula=True, n_starts=1)
    again = ms.load(results.save(tmp_path / "unsafe"))
    with pytest.raises(InputError, match=r"its formula was not checked .* Pass the covariates as arrays X and Z"):
        again.predict(data)
    X, Z = 2 * data["x"].to_numpy()[:, None], data["z"].to_numpy()[:, None]
    assert np.array_equal(again.predict(X, Z), results.predict(data))


# --------------------------------------------------------------------------------------- spoilt numbers
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda text: "n/a" if float(text) < -0.5 else text,
            r"holds text among its numbers in \d+ of 60 rows, such as 'n/a'",
        ),
        (
            lambda text: text.replace(".", ","),
            r"holds numbers with a decimal comma in 60 of 60 rows, such as '-?\d,\d+'",
        ),
        (str, r"holds numbers written as text in 60 of 60 rows"),
    ],
)
def test_a_spoilt_column_of_numbers_is_no_category(spoil, words):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"y": rng.normal(size=60), "x": [spoil(f"{x:.6f}") for x in rng.normal(size=60)]})
    with pytest.raises(InputError, match=rf"column 'x' {words}.*or write C\(x\)"):
        ms.moe("y ~ x", frame)


def test_as_many_texts_as_rows_are_no_categories():
    dates = pd.date_range("2020-01-01", periods=60).strftime("%Y-%m-%d")
    frame = pd.DataFrame({"y": np.random.default_rng(0).normal(size=60), "day done": dates})
    with pytest.raises(InputError, match=r"60 different texts in 60 rows, such as '2020-01-01'.*C\(`day done`\)"):
        ms.moe("y ~ `day done`", frame)


def test_objects_that_are_numbers_are_numbers():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"y": rng.normal(size=60), "x": rng.normal(size=60)})
    expected = ms.moe("y ~ x", frame).X
    pd.testing.assert_frame_equal(ms.moe("y ~ x", frame.astype(object)).X, expected)


def test_a_spoilt_response_is_named_as_such():
    frame = pd.DataFrame({"y": [f"{1000 + i:,}.5" for i in range(60)], "x": np.arange(60.0)})
    with pytest.raises(InputError, match=r"numbers with a thousands separator.*Make it a column of numbers\.$"):
        ms.moe("y ~ x", frame)


@pytest.mark.parametrize("column", [list("abc") * 20, ["1", "2", "3"] * 20, ["0-4", "5-9", "10+"] * 20])
def test_names_of_groups_are_categories(column):
    frame = pd.DataFrame({"y": np.random.default_rng(0).normal(size=60), "g": column})
    assert ms.moe("y ~ g", frame).X.shape == (60, 2)


def test_numbers_as_names_are_categories_when_told():
    codes = [f"{2000 + i}" for i in range(30)]
    frame = pd.DataFrame({"y": np.random.default_rng(0).normal(size=60), "g": codes * 2})
    assert ms.moe("y ~ C(g)", frame).X.shape == (60, 29)
