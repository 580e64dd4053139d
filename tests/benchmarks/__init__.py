"""Measurements: `python -m tests.benchmarks` for speed, `python -m tests.benchmarks.seeds` for accuracy."""
