# Everything a developer needs. On a fresh machine `make demo` and `make test` do their own set-up.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: install demo test lint check bench bench-model evaluate ablation soak clean

install: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "pacsnode needs Python 3.11 or newer; name one with PYTHON=..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV): 2-4 minutes the first time"
	# one call: whatever wants torch must be resolved together with its cap
	$(BIN)/python -m pip install --quiet -e '.[test,check]'
	@touch $@

demo: install
	$(BIN)/pacsnode demo

# two processes: many tests wait for sockets, timers and killed processes rather than for a processor
test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

check: lint test

bench: install
	$(BIN)/python -m tests.bench

bench-model: install
	$(BIN)/pacsnode bench

# held-out phantoms, at home and on the shifted world: within an hour on two cores
evaluate: install
	$(BIN)/pacsnode evaluate phantoms --model demo --without focal --mask-swap 200 --out evaluation/home
	$(BIN)/pacsnode evaluate phantoms --shifted --model demo --without focal --mask-swap 200 \
	  --out evaluation/shifted

# trains five small networks: under an hour; a run that broke off is taken up
ablation: install
	$(BIN)/python -m tests.bench.ablation --out ablation

soak: install
	PACSNODE_TEST_SOAK=1 $(BIN)/python -m pytest -m "wire or slow" --timeout 1200

clean:
	rm -rf $(VENV) dist build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
