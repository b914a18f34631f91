"""How the solver does: starts by family, over-specified models, and the hard cases of the mixture literature."""
