"""Inference from a fitted model: covariances, predictions with their uncertainty, independent checks."""
