PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
JOBS ?= 2
DEMO := digits_mlp digits_cnn digits_vit

.PHONY: help demo test lint bench lock clean

help:
	@echo "make demo    install, train three networks on digits, extract and try their graphs, draw and report"
	@echo "make test    install and run the whole test suite, in two processes (JOBS=1: in one)"
	@echo "make lint    ruff and mypy"
	@echo "make bench   benchmarks, side by side with their peers"
	@echo "make clean   remove the environment and caches (runs/ stays)"

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else "ndg needs Python 3.11 to 3.13, this is %d.%d: make PYTHON=python3.12 ..." % v)'
	@echo "Making $(VENV): pip downloads the packages of requirements.lock, PyTorch the largest of them:"
	@echo "about 0.6 GB with its CPU build, about 4 GB with the default Linux build (CUDA). README.md says how to choose."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

demo: $(READY)
	$(BIN)/python train_models.py $(DEMO)
	$(BIN)/python align.py $(DEMO)

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python -m benchmarks.accuracy
	$(BIN)/python -m benchmarks.mining
	$(BIN)/python -m benchmarks.importance
	$(BIN)/python -m benchmarks.interchange

# What an environment made from pyproject.toml holds. torch is written without a local version, so that both its
# CPU build and its default build satisfy the lock.
lock:
	$(BIN)/python -m pip freeze --all --exclude-editable | sed -E 's/^(torch==[0-9.]+)\+.*/\1/; /^(pip==|nvidia-|triton|cuda-)/d' > requirements.lock

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
