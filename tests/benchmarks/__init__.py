"""Measurements: `python -m tests.benchmarks` for speed, `.scaling` for its growth, `.seeds` for accuracy."""
