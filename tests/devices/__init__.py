"""Devices: processes, journals, and what is left of them when they are killed."""
