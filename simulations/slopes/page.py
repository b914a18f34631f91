"""The tables of the page on slopes, from the committed ones."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from simulations.slopes import second_order

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "slopes.md"

ROWS = {
    "apart": "own losses at each size",
    "nested": "nested",
    "bootstrap": "own losses, bootstrap-t",
}


def markdown(table: pd.DataFrame) -> str:
    """Rows of text."""
    lines = [list(table.columns), ["---"] * table.shape[1], *table.astype(str).values.tolist()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def span(shares: pd.Series[float]) -> str:
    """Smallest and largest."""
    low, high = f"{shares.min():.3f}", f"{shares.max():.3f}"
    return low if low == high else f"{low} to {high}"


def coverage_table(found: pd.DataFrame) -> str:
    """Coverage by law and functional, over numbers of sizes and replications, and that of two other intervals."""
    kind = found.interval.where(found.interval == "bootstrap", found.nested.map({True: "nested", False: "apart"}))
    rows = []
    for (which, law), group in found.groupby([kind, "law"], sort=False):
        by_functional = {
            str(name): span(group.coverage[group.functional == name]) if (group.functional == name).any() else ""
            for name in found.functional.unique()
        }
        others = {"own errors, no Birge ratio": span(group.plain), "own errors, Birge, Student": span(group.student)}
        rows.append({"data": ROWS[str(which)], "law": str(law), **by_functional, **others})
    return markdown(pd.DataFrame(rows))


def verdict_table(found: pd.DataFrame) -> str:
    """Shares of verdicts, by replications and by what the loss is judged against."""
    apart = found[~found.bound]
    inside = apart.effective.between(apart.band_low, apart.band_high)
    away = (apart.effective + apart.exponent).abs() > second_order.MARGIN
    groups = {
        "its own exponent, which the window shows": apart[(apart.prediction == "own") & inside],
        "its own exponent, which the window does not show": apart[(apart.prediction == "own") & ~inside],
        "a wrong one, which the window shows": apart[(apart.prediction == "worst") & away],
    }
    rows = [
        {
            "judged against": name,
            "replications": replications,
            "losses": len(group),
            "consistent": f"{group.consistent.mean():.3f}",
            "faster or slower": f"{(group.faster + group.slower).mean():.3f}",
            "not yet asymptotic": f"{group['not yet asymptotic'].mean():.3f}",
            "no power law": f"{group['no power law'].mean():.3f}",
            "too noisy": f"{group['too noisy'].mean():.3f}",
            "wrong wording": f"{group.wrong.mean():.3f}, at most {group.wrong.max():.3f}",
        }
        for name, chosen in groups.items()
        for replications, group in chosen.groupby("replications")
    ]
    return markdown(pd.DataFrame(rows))


def tables() -> dict[str, str]:
    """By the name that stands in the page's comments."""
    return {
        "coverage": coverage_table(pd.read_csv(HERE / "coverage.csv")),
        "verdicts": verdict_table(pd.read_csv(HERE / "second_order.csv")),
    }


def page(text: str) -> str:
    """The page with its tables anew."""
    for name, table in tables().items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n\n{table}\n\n{end}{rest.split(end)[1]}"
    return text


def write() -> None:
    """After the tables have changed."""
    PAGE.write_text(page(PAGE.read_text()))
