"""``python -m simulations.solver [families | overspecified | hard_cases] ...`` runs studies and writes their tables."""

from __future__ import annotations

import sys

from simulations.solver.studies import HERE, STUDIES


def main(names: list[str]) -> None:
    """Run the named studies, all by default."""
    unknown = sorted(set(names) - set(STUDIES))
    if unknown:
        raise SystemExit(f"unknown studies {unknown}; known are {sorted(STUDIES)}")
    for name in names or STUDIES:
        table = STUDIES[name]()
        table.to_csv(HERE / f"{name}.csv", index=False, float_format="%.10g")
        print(table.to_string())


if __name__ == "__main__":
    main(sys.argv[1:])
