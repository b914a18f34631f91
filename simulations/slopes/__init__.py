"""How often intervals of slopes hold the truth, and what verdicts say where a second term bends the points."""
