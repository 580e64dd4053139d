"""Validation: the accuracy ladder from float to chip, and where two engines first differ."""
