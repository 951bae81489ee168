# demo, demo-pixels and test each do their whole set-up; they need Python 3.11 or newer, pip and make.
# make wild needs a film that the user has installed, see docs/wild.md.
.PHONY: demo demo-pixels wild test test-slow test-oldest check format bench install
.DEFAULT_GOAL := install

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
CONSTRAINTS ?= constraints.txt
PIP := $(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS)
PACKAGE := $(VENV)/.package
TOOLS := $(VENV)/.tools

# PyTorch's own index, of builds without CUDA.
TORCH_CPU ?= https://download.pytorch.org/whl/cpu
# One thread per process: the networks are small, and two builds must give the same numbers.
export OMP_NUM_THREADS ?= 1
# Only video needs a renderer, and chooses one itself.
export MUJOCO_GL ?= disable

install: $(TOOLS)

$(PACKAGE): pyproject.toml $(CONSTRAINTS)
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer found; make PYTHON=/path/to/python" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV) || { $(PYTHON) -m venv --clear --without-pip $(VENV) \
		&& $(PYTHON) -m pip --python $(BIN)/python install pip; }
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@# Without an NVIDIA GPU take PyTorch's CPU build where there is one, else say what comes.
	@if test "$$(uname)" = Linux && ! nvidia-smi >/dev/null 2>&1 && ! test -e /proc/driver/nvidia; then \
		if $(BIN)/python -c 'import urllib.request as r; r.urlopen("$(TORCH_CPU)/torch/", timeout=5)' 2>/dev/null; \
		then $(PIP) --extra-index-url $(TORCH_CPU) torch; \
		elif ! $(PIP) --no-index --no-deps --dry-run torch 2>/dev/null; \
		then echo "no NVIDIA GPU here, and $(TORCH_CPU) does not answer: pip takes PyTorch from PyPI, with CUDA," \
			"2.7 GB to download; to avoid that press Ctrl-C, and run 'make TORCH_CPU=URL' with another index of" \
			"CPU builds, or 'PIP_FIND_LINKS=FOLDER make' with a folder where one lies" >&2; \
		fi; \
	fi
	$(PIP) --editable ".[all]"
	touch $@

$(TOOLS): $(PACKAGE)
	$(PIP) --group dev
	touch $@

demo: $(PACKAGE)
	$(BIN)/lawm demo --out runs/demo

demo-pixels: $(PACKAGE)
	env -u MUJOCO_GL $(BIN)/lawm demo --pixels --out runs/demo-pixels

wild: $(PACKAGE)
	$(BIN)/python benchmarks/wild.py --out runs/wild

# Shapes are checked where networks and algorithms are tested: it takes a third of the time of whole runs.
CHECKED := tests/models/networks tests/models/algorithms tests/models/test_shapes.py

test: $(TOOLS)
	$(BIN)/python -m pytest --numprocesses=auto $(CHECKED)
	SHAPES=unchecked $(BIN)/python -m pytest --numprocesses=auto $(CHECKED:%=--ignore=%)

test-slow: $(TOOLS)
	$(BIN)/python -m pytest --numprocesses=auto -m slow

test-oldest:
	$(MAKE) test VENV=.venv-oldest CONSTRAINTS=constraints-oldest.txt

check: $(TOOLS)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

format: $(TOOLS)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(TOOLS)
	for name in sampling stepping training kill; do \
		$(BIN)/python benchmarks/$$name.py --out benchmarks/results/$$name.json || exit; \
	done
