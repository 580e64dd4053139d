"""Deployment: the protocol that a chip implements, finding chips, and writing bundles."""
