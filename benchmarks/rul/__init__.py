"""Fitting and judging the baseline estimator of remaining life."""
