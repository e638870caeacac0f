"""The pytest plugin: inert until a test uses it."""
