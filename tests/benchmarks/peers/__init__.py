"""Training steps of other frameworks on our workload; each script runs in `.venv-peers` and prints JSON."""
