# demo and test each do their whole set-up; they need Python 3.11 or newer, pip and make.
.PHONY: demo test check format bench install
.DEFAULT_GOAL := install

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# One thread per process: the networks are small, and two builds must give the same numbers.
export OMP_NUM_THREADS ?= 1
# Only video needs a renderer, and chooses one itself.
export MUJOCO_GL ?= disable

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer found; make PYTHON=/path/to/python" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV) || { $(PYTHON) -m venv --clear --without-pip $(VENV) \
		&& $(PYTHON) -m pip --python $(BIN)/python install pip; }
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[all]" --group dev
	touch $@

demo: $(STAMP)
	$(BIN)/lawm demo --out runs/demo

test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses=auto

check: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(STAMP)
	for name in sampling stepping training kill; do \
		$(BIN)/python benchmarks/$$name.py --out benchmarks/results/$$name.json || exit; \
	done
