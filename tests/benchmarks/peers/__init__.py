"""Our workloads in other frameworks; each script runs in `.venv-peers` or `.venv-simulators` and prints JSON."""
