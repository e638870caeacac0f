"""Regression examples: violations that are stored as text, replayed, and kept as guards."""
