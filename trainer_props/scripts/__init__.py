"""Standalone scripts: the smallest case of a violation, built by hand, in a file that needs none of us."""
