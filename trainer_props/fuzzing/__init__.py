"""Fuzzing: campaigns of hours, that can be stopped at any time and continued."""
