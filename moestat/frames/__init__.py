"""Data frames and formulas: what turns the columns of a user into covariates."""
