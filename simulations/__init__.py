"""Simulation studies: declarations, truths with their sources, and committed summaries. Not part of the wheel."""
