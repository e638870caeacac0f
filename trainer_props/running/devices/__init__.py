"""Runs on several devices, on a machine that may have none: `backends` is the way in."""
