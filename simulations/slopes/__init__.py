"""How often intervals of effective slopes hold the truth, and what verdicts say where a second term bends the points."""
