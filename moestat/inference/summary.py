"""The printed summary: statsmodels tables, one for the gate, one per expert, the certificate beneath."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from statsmodels.iolib.summary import Summary

    from moestat.results import Results

NOT_AVAILABLE = "not available"


def summarise(results: Results, alpha: float, kind: str) -> Summary:
    """Build the summary of a fit; standard errors of the given kind."""
    from statsmodels.iolib.summary import Summary

    table, reason = results._table(kind, alpha)
    summary = Summary()
    summary.tables.append(_heading(results, kind))
    for title, names in _groups(results):
        summary.tables.append(_coefficients(title, names, table, alpha, results))
    notes = [str(results.certificate)]
    if reason:
        notes.insert(0, f"Standard errors: {NOT_AVAILABLE}. {reason}")
    summary.add_extra_txt(notes)
    return summary


def _heading(results: Results, kind: str) -> Any:
    from statsmodels.iolib.table import SimpleTable
    from statsmodels.iolib.tableformatting import fmt_2cols

    model, schema = results.model, results.schema
    left = [
        ("Response:", ", ".join(schema.responses)),
        ("Gate:", model.gate.name if model.n_experts > 1 else "none (one expert)"),
        ("Experts:", f"{model.n_experts} x {model.expert.name}"),
        ("Observations:", f"{results.nobs:g}"),
        ("Identified parameters:", f"{results.df_model}"),
    ]
    if schema.classes is not None:
        left.append(("Reference class:", str(schema.classes[0])))
    right = [
        ("Log-likelihood:", f"{results.llf:.6g}"),
        ("AIC:", f"{results.aic:.6g}"),
        ("BIC:", f"{results.bic:.6g}"),
        ("ICL:", f"{results.icl:.6g}"),
        ("Covariance:", kind),
    ]
    right += [("", "")] * (len(left) - len(right))
    rows = [[a[1], b[0], b[1]] for a, b in zip(left, right, strict=True)]
    return SimpleTable(rows, stubs=[a[0] for a in left], title="Mixture of experts", txt_fmt=_two_columns(fmt_2cols))


def _two_columns(base: dict[str, Any]) -> dict[str, Any]:
    return dict(base, data_aligns="rlr", colsep="  ", data_fmts=["%s"] * 3)


def _groups(results: Results) -> list[tuple[str, list[str]]]:
    """Estimated and held parameters by table: the gate, then expert by expert."""
    names = results.all_names
    shown = [n for n, pinned in zip(names, results.pinned, strict=True) if not pinned]
    K = results.model.n_experts
    gate = [n for n in shown if n.startswith("gate")]
    groups = []
    if gate and K > 1:
        groups.append((f"Gate: log odds against expert {K}", gate))
    family = _families(results)
    shared = [n for n in shown if n.startswith("expert.")]
    for k in range(1, K + 1):
        own = [n for n in shown if n.startswith(f"expert[{k}].")]
        groups.append((f"Expert {k}: {family[k - 1]}, {results.certificate.optimum.masses[k - 1]:.1f} rows", own))
    if shared:
        groups.append(("All experts", shared))
    return groups


def _families(results: Results) -> list[str]:
    expert = results.model.expert
    members = getattr(expert, "families", None) or (expert,) * results.model.n_experts
    return [member.name for member in members]


def _coefficients(title: str, names: list[str], table: pd.DataFrame, alpha: float, results: Results) -> Any:
    from statsmodels.iolib.table import SimpleTable
    from statsmodels.iolib.tableformatting import fmt_params

    header = ["coef", "std err", "z", "P>|z|", f"[{alpha / 2:.3g}", f"{1 - alpha / 2:.3g}]"]
    rows = [_row(table.loc[name], bool(results.positive[name]), bool(results.held[name])) for name in names]
    return SimpleTable(rows, headers=header, stubs=[n.split(".", 1)[1] for n in names], title=title, txt_fmt=fmt_params)


def _row(entry: pd.Series[Any], positive: bool, held: bool) -> list[str]:
    coef = _number(entry["coef"])
    if held:
        return [coef, "held", "", "", "", ""]
    if not np.isfinite(entry["std err"]):
        return [coef, NOT_AVAILABLE, "", "", "", ""]
    # a variance is never zero, so z and its p-value would test nothing
    test = ["", ""] if positive else [f"{entry['z']:.3f}", f"{entry['P>|z|']:.3f}"]
    return [coef, _number(entry["std err"]), *test, _number(entry["lower"]), _number(entry["upper"])]


def _number(value: float) -> str:
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e5 or value == 0 else f"{value:.3e}"
