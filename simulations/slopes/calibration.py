"""``python -m simulations.slopes.calibration`` writes both tables of this folder; some minutes on one core."""

from __future__ import annotations

from pathlib import Path

from simulations.slopes import coverage, second_order

HERE = Path(__file__).parent


def main() -> None:
    """Run both studies, write their tables, and print what the page on slopes says of them."""
    held = coverage.table()
    held.to_csv(HERE / "coverage.csv", index=False, float_format="%.4f")
    print(held.to_string())
    verdicts = second_order.table()
    verdicts.to_csv(HERE / "second_order.csv", index=False, float_format="%.4f")
    print(second_order.false_consistent(verdicts).to_string())
    print(f"largest share of wrong wording: {verdicts.wrong.max():.3f}")


if __name__ == "__main__":
    main()
