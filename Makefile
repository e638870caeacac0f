# The two that matter: `make check` runs the main job, `make test` every test. Both make .venv first, once.
#   make check ARGS="--seconds 10 --property 'steps.*'"      make test ARGS=tests/unit      make check PYTHON=python3.12

PYTHON ?= python3
WORKERS ?= 2
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
PIP_INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt
WHEEL := build/wheel

.DELETE_ON_ERROR:
.PHONY: check test lint typecheck clean

check: $(READY)
	@$(BIN)/trainer-props check $(ARGS)

# One thread a worker: the models are tiny, and the workers share the cores.
test: $(READY)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --hypothesis-profile=ci --numprocesses=$(WORKERS) --dist=loadfile $(ARGS)

lint: $(READY)
	@$(BIN)/ruff check --output-format=concise .

# mypy can't see through the mapping of strategies/ into the package, so it reads what ships: the built wheel.
typecheck: $(READY)
	@rm -rf build && mkdir build
	@$(BIN)/python -m build --wheel --no-isolation --outdir $(WHEEL) . >build/log 2>&1 || { cat build/log; exit 1; }
	@$(BIN)/python -m pip install --quiet --no-deps --no-index --target $(WHEEL)/unpacked $(WHEEL)/*.whl
	@cd $(WHEEL)/unpacked && $(CURDIR)/$(BIN)/mypy --strict --config-file $(CURDIR)/pyproject.toml --cache-dir $(CURDIR)/.mypy_cache -p trainer_props

# torch goes first and by its version, so that pip takes a build for processors alone wherever it is configured to find one:
# a bare `torch`, asked for by another package, would be the newest one, with gigabytes of CUDA.
# The build of the project is not isolated, so it uses the pinned setuptools and asks the network for nothing.
$(READY): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "trainer-props needs Python 3.11 or later, and '$(PYTHON)' is none: name one, as in make PYTHON=python3.12" >&2; exit 1; }
	@echo "setting up $(VENV) (once; minutes, mostly for torch)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP_INSTALL) torch==2.13.0 setuptools
	@$(PIP_INSTALL) --no-build-isolation --editable '.[browser,datasets,html,test]'
	@touch $@

clean:
	@rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
