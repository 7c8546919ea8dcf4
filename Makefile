PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := $(VENV)/.peers
JOBS ?= 2
ROUNDS ?= 2000
DEMO := digits_mlp digits_cnn digits_vit
BENCHMARKS := $(filter-out __init__ browser causal_parts efficiency_report frame memory timing trained workloads,$(basename $(notdir $(wildcard benchmarks/*.py))))
QUICKLY := not slow and not ray and not browser
FAST := $(addprefix tests/,bits/test_matrix.py bits/test_packing.py graph/test_condensation.py graph/test_edges.py \
	graph/test_export.py graph/test_files.py graph/test_rules.py graph/test_statistics.py graph/test_verdicts.py \
	mining/test_counts.py mining/test_criteria.py mining/test_miner.py mining/test_pairs.py \
	mining/test_significance.py abstraction/test_backward.py abstraction/test_controls.py abstraction/test_counts.py \
	abstraction/test_curve.py abstraction/test_minimal_search.py abstraction/test_orders.py \
	abstraction/test_verdict.py importance/test_plan.py importance/test_saturation.py importance/test_scores.py \
	conformance/test_binarizers.py test_config.py test_errors.py test_habits.py test_house.py test_intervals.py \
	test_literal.py test_mutants.py test_nodes.py test_seeds.py test_terminal.py)

.PHONY: help demo demo-vit demo-others test check lint style types fast bench mutants fuzz docs lock clean

help:
	@echo "make demo    install, train three networks on digits, extract and try their graphs, draw and report"
	@echo "make check   lint, types and a fast part of the tests, side by side, in about a minute"
	@echo "make test    install and run the whole test suite, in two processes (JOBS=1: in one)"
	@echo "make lint    ruff, vulture and mypy"
	@echo "make bench   benchmarks, side by side with their peers, which it installs (QUICK=--quick: small sizes)"
	@echo "make mutants small wrong changes of the core: do the tests notice them?"
	@echo "make fuzz    damage everything that is read, thousands of times (ROUNDS=2000 of each kind): are all refused?"
	@echo "make docs    build the documentation site into build/site, without warnings"
	@echo "make clean   remove the environment and caches (runs/ stays)"

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else "ndg needs Python 3.11 to 3.13, this is %d.%d: make PYTHON=python3.12 ..." % v)'
	@echo "Making $(VENV): pip downloads the packages of requirements.lock, PyTorch the largest of them:"
	@echo "about 0.6 GB with its CPU build, about 4 GB with the default Linux build (CUDA). README.md says how to choose."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@echo "Compiling the kernels of ndg, once"
	$(BIN)/python -c "import ndg.discovery, ndg.graph.traversal, ndg.gradients.kernels"
	@touch $@

# pyvene asks for packages that the comparison does not need.
$(PEERS): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation -e ".[bench]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps "pyvene>=0.1.8"
	@touch $@

# Each network is aligned once it is trained; the transformer has a core of its own. Then the table of all is printed.
demo: $(READY)
	@$(MAKE) --no-print-directory -j2 demo-vit demo-others
	$(BIN)/python align.py $(DEMO) --resume

demo-vit: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python align.py $(filter %_vit,$(DEMO)) --train --executor serial > /dev/null

demo-others: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python align.py $(filter-out %_vit,$(DEMO)) --train --executor serial --quiet > /dev/null

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

check: $(READY)
	@$(MAKE) --no-print-directory -j2 --output-sync=target types fast style

lint: style types

style: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/vulture

types: $(READY)
	$(BIN)/mypy

fast: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "$(QUICKLY)" $(FAST)

bench: $(PEERS)
	@failed=; for name in $(BENCHMARKS); do \
		echo "== $$name"; $(BIN)/python -m benchmarks.$$name $(QUICK) || failed="$$failed $$name"; \
	done; test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

mutants: $(READY)
	$(BIN)/python -m tools.mutants --jobs $(JOBS)

fuzz: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m tools.fuzz --rounds $(ROUNDS)

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "build/site/index.html"

# What an environment made from pyproject.toml holds. torch is written without a local version, so that both its
# CPU build and its default build satisfy the lock.
lock:
	$(BIN)/python -m pip freeze --all --exclude-editable | sed -E 's/^(torch==[0-9.]+)\+.*/\1/; /^(pip==|nvidia-|triton|cuda-)/d' > requirements.lock

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
