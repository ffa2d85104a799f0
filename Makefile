# One command each; all of them make their environment from the lock file first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 3000
MONOLITH_PORT ?= 8000
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install

.PHONY: help demo dev monolith doctor test check faults crashes torn-reads search naive readers bench lock clean

help:
	@echo "make demo      sync a whole simulated brokerage into data/demo.duckdb and show what came of it"
	@echo "make dev       open the Dagster UI on http://127.0.0.1:$(PORT)"
	@echo "make monolith  an example Django application on the simulator, on http://127.0.0.1:$(MONOLITH_PORT)"
	@echo "make doctor    check configuration, login, API and warehouse"
	@echo "make test      lint, types, architecture and all tests, with a real Postgres"
	@echo "make faults    random schedules of troubles, many more than in make test: SCHEDULES=10000 SEED=7"
	@echo "make bench     how fast a sync is, beside other ways to do the same; over an hour"
	@echo "make lock      pin the newest versions that fit pyproject.toml"

$(VENV)/.runtime: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; say which with: make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked packages into $(VENV) ..."
	@$(PIP) --require-hashes --no-deps -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@echo "Installing what the tests need ..."
	@$(PIP) --require-hashes --no-deps -r requirements-dev.lock
	@touch $@

demo: $(VENV)/.runtime
	@$(BIN)/tasty-pipeline demo

dev: $(VENV)/.runtime
	@$(BIN)/tasty-pipeline dev --port $(PORT)

monolith: $(VENV)/.dev
	@$(BIN)/python examples/monolith/run.py --port $(MONOLITH_PORT) --dagster-port $(PORT)

doctor: $(VENV)/.runtime
	@$(BIN)/tasty-pipeline doctor

check: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# Three workers on two cores, a file each at a time: half of the tests wait for a server, a daemon or a browser. In the
# order of tests/conftest.py: reordered by their number, the files that wait longest would all come last.
test: check
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

# The fault harness, tests/faults: more of what runs in slices in the tests. Each says how to see a broken one again;
# docs/reliability.md tells what came of it. Without SEED, any.
FAULTS = cd tests && ../$(BIN)/python -m faults
SEEDED = $(if $(SEED),--seed $(SEED)) $(if $(DATABASES),--databases $(DATABASES)) $(if $(ONLY),--only $(ONLY))

# with ONLY=dagster their runs are Dagster's, which takes three times as long
faults: $(VENV)/.dev
	$(FAULTS) schedules --number $(or $(SCHEDULES),1000) --processes 2 $(SEEDED)

# all points, over an hour; fewer with POINTS=20, of one victim with ONLY=process
crashes: $(VENV)/.dev
	$(FAULTS) crashes $(if $(POINTS),--number $(POINTS)) --processes 2 $(SEEDED)

torn-reads: $(VENV)/.dev
	$(FAULTS) torn-reads --number $(or $(READS),100000) $(SEEDED)

# any of them by name: make search NAME=money NUMBER=1000000
search: $(VENV)/.dev
	$(FAULTS) $(or $(NAME),--help) $(if $(NUMBER),--number $(NUMBER)) $(SEEDED)

# The same schedules for two usual ways; the stock I/O manager wants an older pandas than ours.
$(VENV)-naive/.ready: tests/faults/naive.txt
	@test -x $(VENV)-naive/bin/python || $(PYTHON) -m venv $(VENV)-naive
	@echo "Installing what the naive ways stand on ..."
	@$(VENV)-naive/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --no-deps -r $<
	@touch $@

naive: $(VENV)/.dev $(VENV)-naive/.ready
	$(FAULTS) naive --number $(or $(SCHEDULES),100) --python ../$(VENV)-naive/bin/python $(SEEDED)

# 100 readers on a million transactions; some minutes
readers: $(VENV)/.dev
	$(BIN)/python benchmarks/readers.py

# What the pipeline is measured against has an environment of its own, which is not among our dependencies.
$(VENV)-bench/.ready: benchmarks/peers.txt
	@test -x $(VENV)-bench/bin/python || $(PYTHON) -m venv $(VENV)-bench
	@echo "Installing what it is measured against ..."
	@$(VENV)-bench/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --no-deps -r $<
	@touch $@

# over an hour; less with SIZES="1000 10000" (then without the ten million rows at the end), DATABASES=duckdb,
# SCENARIOS="fresh unchanged", LATENCIES=0, REPEAT=1
bench: $(VENV)/.dev $(VENV)-bench/.ready
	$(BIN)/python benchmarks/bench.py $(if $(SIZES),--sizes $(SIZES)) $(if $(DATABASES),--databases $(DATABASES)) \
		$(if $(SCENARIOS),--scenarios $(SCENARIOS)) $(if $(LATENCIES),--latencies $(LATENCIES)) $(if $(REPEAT),--repeat $(REPEAT))
	$(if $(SIZES),,$(BIN)/python benchmarks/growth.py)

# uv only writes the files here; nothing else of it is needed
lock:
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip --quiet install uv
	$(VENV)-lock/bin/uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
		--no-annotate --no-emit-index-url --no-emit-find-links --group build -o requirements.lock pyproject.toml
	$(VENV)-lock/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header \
		--no-annotate --no-emit-index-url --no-emit-find-links -c requirements.lock --extra django --group build --group dev -o requirements-dev.lock pyproject.toml
	$(VENV)-lock/bin/uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
		--no-annotate --no-emit-index-url --no-emit-find-links -o benchmarks/peers.txt benchmarks/peers.in
	$(VENV)-lock/bin/uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
		--no-annotate --no-emit-index-url --no-emit-find-links -o tests/faults/naive.txt tests/faults/naive.in
	rm -rf $(VENV)-lock

clean:
	rm -rf $(VENV) $(VENV)-bench $(VENV)-naive .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
