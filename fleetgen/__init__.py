"""Synthetic telemetry of a stationary battery fleet, with the truth beside the measurement."""

__version__ = "0.1.0"
