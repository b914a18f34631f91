"""``python -m simulations.slopes.calibration``: the tables of this folder and of the page; five to ten minutes."""

from __future__ import annotations

from pathlib import Path

from simulations.slopes import coverage, page, second_order

HERE = Path(__file__).parent


def main() -> None:
    """Run both studies, and write their tables and those of the page on slopes."""
    held = coverage.table()
    held.to_csv(HERE / "coverage.csv", index=False, float_format="%.4f")
    print(held.to_string())
    verdicts = second_order.table()
    verdicts.to_csv(HERE / "second_order.csv", index=False, float_format="%.4f")
    page.write()
    print(second_order.false_consistent(verdicts).to_string())
    print(f"largest share of wrong wording: {verdicts.wrong.max():.3f}")


if __name__ == "__main__":
    main()
