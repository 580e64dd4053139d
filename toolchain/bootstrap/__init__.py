"""Make the project's environment with nothing but the standard library: what `make setup` runs."""
