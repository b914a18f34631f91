"""The printed summary: statsmodels tables, one for the gate, one per expert, the certificate beneath."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from moestat.expressions import spoken, spoken_experts, spoken_families
from moestat.params import leaf_owners

if TYPE_CHECKING:
    import pandas as pd
    from statsmodels.iolib.summary import Summary

    from moestat.frames.design import FrameDesign
    from moestat.results import Results

NOT_AVAILABLE = "not available"

#: Said under the tables of a joint fit.
CONDITIONAL = "Standard errors are conditional on the selection: that every row has the experts it has here."

JOINT = (
    "The log-likelihood, AIC, BIC and ICL are joint ones, of the gate's covariates and the response together: they "
    "cannot be compared with those of the response given the covariates."
)

#: Letters of a formula that fit into the title's line.
SHORT_FORMULA = 58


def summarise(results: Results, alpha: float, kind: str | None) -> Summary:
    """Build the summary of a fit; standard errors of the given kind."""
    from statsmodels.iolib.summary import Summary

    table, reason = results._table(kind, alpha)
    summary = Summary()
    summary.tables.append(_heading(results, results.kinds[0] if kind is None else kind))
    for title, names in _groups(results):
        summary.tables.append(_coefficients(title, names, table, alpha, results))
    notes = [str(results.certificate)]
    if results.certificate.joint:
        notes.insert(0, JOINT)
    if results.certificate.optimum.jumps:
        notes.insert(0, CONDITIONAL)
    if reason:
        notes.insert(0, f"Some standard errors are {NOT_AVAILABLE}: {reason}")
    summary.add_extra_txt(notes)
    return summary


def _title(design: FrameDesign | None) -> str:
    """What is fitted; a long formula goes to a line of its own."""
    if design is None:
        return "Mixture of experts"
    formula = " ".join(design.formula.text.split())
    return f"Mixture of experts{': ' if len(formula) <= SHORT_FORMULA else chr(10)}{formula}"


def _heading(results: Results, kind: str) -> Any:
    from statsmodels.iolib.table import SimpleTable
    from statsmodels.iolib.tableformatting import fmt_2cols

    model, schema = results.model, results.schema
    left = [
        ("Response:", ", ".join(schema.responses)),
        ("Gate:", spoken(model.gate) if model.n_experts > 1 or results.certificate.joint else "none (one expert)"),
        ("Experts:", spoken_experts(model.expert, model.n_experts)),
        ("Observations:", f"{results.nobs:g}"),
        ("Identified parameters:", f"{results.df_model}"),
    ]
    if results.design is not None and results.design.n_dropped:
        left.insert(4, ("Rows dropped:", f"{results.design.n_dropped}, for missing entries"))
    if schema.classes is not None:
        left.append(("Reference class:", str(schema.classes[0])))
    right = [*results.headline.items(), ("Covariance:", kind)]
    right += [("", "")] * (len(left) - len(right))
    rows = [[a[1], b[0], b[1]] for a, b in zip(left, right, strict=True)]
    return SimpleTable(rows, stubs=[a[0] for a in left], title=_title(results.design), txt_fmt=_two_columns(fmt_2cols))


def _two_columns(base: dict[str, Any]) -> dict[str, Any]:
    return dict(base, data_aligns="rlr", colsep="  ", data_fmts=["%s"] * 3)


def _groups(results: Results) -> list[tuple[str, dict[str, str]]]:
    """Parameters to print by table, with their names there: the gate's parts, then each expert, then what all share."""
    owners = [owner for path, slot, _ in results._terms.layout.leaves() for owner in leaf_owners(path, slot)]
    owner_of = dict(zip(results.all_names, owners, strict=True))
    shown = _in_local_order(results)
    tables = _titles(results) | {owner: title for owner in owners if (title := _title_of_part(owner))}
    groups = [
        (title, {name: name.removeprefix(f"{owner}.") for name in shown if owner_of[name] == owner})
        for owner, title in tables.items()
    ]
    groups.sort(key=lambda group: not group[0].startswith("Gate"))
    return [(title, names) for title, names in groups if names or title.startswith("Expert")]


def _titles(results: Results) -> dict[str, str]:
    """Titles by owner of the parameters."""
    K, masses = results.model.n_experts, results.certificate.optimum.masses
    experts = [
        f"{name}, {mass:.1f} rows" for name, mass in zip(spoken_families(results.model.expert, K), masses, strict=True)
    ]
    against = "" if _shows_reference(results) else f" against expert {K}"
    # coefficients of linear logits are log odds; a centre or a direction is what it is
    odds = results.model.gate.known_features and not results.certificate.joint
    titles = {
        f"gate[{k}]": f"Gate: log odds of expert {k}{against}" if odds else f"Gate: expert {k}" for k in range(1, K)
    }
    titles |= {f"gate[{K}]": f"Gate: expert {K}", "gate": "Gate: all experts"}
    titles |= {f"expert[{k}]": f"Expert {k}: {text}" for k, text in enumerate(experts, start=1)}
    return titles | {"expert": "All experts"}


def _title_of_part(owner: str) -> str:
    """Title of a gate inside a gate: ``Gate: group[2][1]``, the first expert of the second group."""
    return f"Gate: {owner.removeprefix('gate.')}" if owner.startswith("gate.") else ""


def _in_local_order(results: Results) -> list[str]:
    """Names of the parameters to print, in the order in which each component reads its own: class by class.

    Reference values of zero go without saying; a reference temperature, of one, does not.
    """
    terms = results._terms
    has_gate = results.model.n_experts > 1 or results.certificate.joint
    gate = terms.gate_columns if has_gate else terms.gate_columns[:0]
    order = dict.fromkeys([*gate.ravel(), *terms.expert_columns.ravel()])
    silent = results.pinned & ((results._natural == 0) | (results.model.n_experts == 1))
    silent[terms.n_gate :] = False  # what an expert's own convention holds is part of its mean
    return [results.all_names[i] for i in order if not silent[i]]


def _shows_reference(results: Results) -> bool:
    """Whether the reference expert's gate is something else than zero: bounds may keep it from there."""
    layout, n = results._terms.layout, results._terms.n_gate
    return bool(layout.pack(results.params)[:n][results.pinned[:n]].any())


def _coefficients(title: str, names: dict[str, str], table: pd.DataFrame, alpha: float, results: Results) -> Any:
    from statsmodels.iolib.table import SimpleTable
    from statsmodels.iolib.tableformatting import fmt_params

    header = ["coef", "std err", "z", "P>|z|", f"[{alpha / 2:.3g}", f"{1 - alpha / 2:.3g}]"]
    rows_of, stubs = list(names), list(names.values())
    pinned = results._series(results.pinned)[rows_of]
    flags = zip(results.positive[rows_of], results.held[rows_of], pinned, strict=True)
    rows = [_row(entry, *flag) for (_, entry), flag in zip(table.loc[rows_of].iterrows(), flags, strict=True)]
    if not rows:
        rows, stubs = [["none", "", "", "", "", ""]], ["parameters"]
    return SimpleTable(rows, headers=header, stubs=stubs, title=title, txt_fmt=fmt_params)


def _row(entry: pd.Series[Any], positive: bool, held: bool, pinned: bool) -> list[str]:
    coef = _number(entry["coef"])
    if held or pinned:
        return [coef, "held" if held else "reference", "", "", "", ""]
    if not np.isfinite(entry["std err"]):
        return [coef, NOT_AVAILABLE, "", "", "", ""]
    # a variance is never zero, so z and its p-value would test nothing
    test = ["", ""] if positive else [f"{entry['z']:.3f}", f"{entry['P>|z|']:.3f}"]
    return [coef, _number(entry["std err"]), *test, _number(entry["lower"]), _number(entry["upper"])]


def _number(value: float) -> str:
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e5 or value == 0 else f"{value:.3e}"
