"""Simulation studies: declared as data, run anywhere, resumed after anything, read with honest uncertainty."""
