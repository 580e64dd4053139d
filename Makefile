# `make` alone lists what there is. Needs git, make, a POSIX shell and some Python 3.8 or newer; the
# set-up finds or gets Python 3.10 itself. PYTHON=/path/to/python make setup chooses another.

.POSIX:
.SUFFIXES:
.PHONY: help setup demo test test-all kernels lint bench bench-genn constraints clean

RUN = .venv/bin/python -m
PEERS = 1
# A process for each core; the tests of a file stay together, for they share what is made once.
SIDE_BY_SIDE = -n auto --dist loadfile
# Hundreds of processes are started by the tests; without byte code on disk each compiles all that it imports.
BYTE_CODE = PYTHONDONTWRITEBYTECODE=

# Runs the set-up with the first Python that really runs: a python3 on PATH may be a pyenv shim that only
# prints an error. .venv's own comes first since it is there whenever there is nothing to do.
SETUP = set_up() { \
	  for python in .venv/bin/python python3 python python3.13 python3.12 python3.11 python3.10 \
	      /usr/bin/python3 "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.*/bin/python; do \
	    if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))' >/dev/null 2>&1; then \
	      "$$python" toolchain/bootstrap/setup_env.py "$$@"; return; \
	    fi; \
	  done; \
	  echo 'set-up: no Python 3.8 or newer runs here to start with. Install one (python3), then run make again.' >&2; \
	  return 4; \
	}; set_up

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

setup:  ## make .venv; does nothing where it is up to date
	@$(SETUP)

demo: setup  ## train, deploy and validate a small network, then show the report
	@$(RUN) toolchain.cli.demo

test: kernels lint  ## lint, then all tests but the slow ones: what CI runs
	@$(BYTE_CODE) $(RUN) pytest $(SIDE_BY_SIDE) -m 'not slow'

test-all: kernels lint  ## lint and every test, then the core tests on the newest other Python
	@$(BYTE_CODE) $(RUN) pytest $(SIDE_BY_SIDE)
	@$(SETUP) --newest
	@if [ -x .venv-newest/bin/python ]; then \
	  $(BYTE_CODE) .venv-newest/bin/python -m pytest $(SIDE_BY_SIDE) -m 'not slow and not lava'; \
	fi

# Goes on by itself: mypy needs one core alone, and after it all workers would compile the same kernels.
kernels: setup
	@$(BYTE_CODE) $(RUN) tests.kernels >/dev/null 2>&1 &

lint: setup  ## ruff and mypy
	@$(RUN) ruff check
	@$(RUN) ruff format --check
	@if .venv/bin/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 10))'; then \
	  $(RUN) mypy; \
	else \
	  echo "lint: mypy is left out, as types are written against NumPy's of Python 3.10"; \
	fi

bench: setup  ## run the benchmarks; PEERS=0 without the other training frameworks
	@PEERS=$(PEERS) $(RUN) tests.benchmarks

bench-genn: setup  ## the GeNN backend beside the cpu backend and mlGeNN, where they are installed in .venv
	@$(RUN) tests.benchmarks.genn

constraints:  ## resolve all dependencies again; UPGRADE=--upgrade for the newest of each
	@uv=$$($(SETUP) --print-uv) && \
	"$$uv" pip compile pyproject.toml toolchain/bootstrap/constraints.in --all-extras $(UPGRADE) \
	  --universal --python-version 3.10 --generate-hashes --no-annotate --no-emit-index-url --quiet \
	  --custom-compile-command 'make constraints' --output-file toolchain/bootstrap/constraints.txt

clean:  ## remove what make made; runs/ stays
	rm -rf .venv .venv-newest .venv-peers .venv-simulators .venv-tools .venv.lock build dist *.egg-info
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
