# Every command of the project; `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
JOBS ?= auto
PARSER := tests/contracts/asyncapi
THRICE := sh -c 'for n in 1 2 3; do "$$@" && exit; echo "failed, attempt $$n of 3"; sleep $$((n * 5)); done; exit 1' thrice

.DEFAULT_GOAL := help
.PHONY: help setup up test check format rabbitmq kafka nemesis stop-brokers asyncapi-parser bench bench-check clean

help: ## list every target
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F '\t' '{printf "%-15s %s\n", $$1, $$2}'

setup: $(READY) ## make .venv from requirements.lock

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Tradepost needs Python 3.11 or newer; set PYTHON=..."; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) || { echo "Python's venv is missing: apt-get install python3-venv"; exit 1; }
	@echo "installing what requirements.lock names ..."
	@$(THRICE) $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $(READY)

up: $(READY) ## start everything in one process; Ctrl-C stops it
	@exec $(BIN)/tradepost up

test: $(READY) ## run all tests, in parallel
	@$(BIN)/pytest -n $(JOBS) --dist loadgroup

check: $(READY) ## style, types and import contracts
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

format: $(READY) ## put the code into the house's format
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

rabbitmq: ## install RabbitMQ when missing (as root, by apt) and start it on loopback
	@$(PYTHON) -m brokers rabbitmq start

kafka: ## fetch Kafka when missing (by Maven) and start it on loopback
	@$(PYTHON) -m brokers kafka start

nemesis: $(READY) ## five minutes of a shop in pieces whose processes and broker are killed: KIND=rabbitmq or kafka
	@$(BIN)/python -m tests.system.nemesis $(or $(KIND),rabbitmq)

stop-brokers: ## stop both
	@$(PYTHON) -m brokers all stop

asyncapi-parser: $(PARSER)/node_modules/ready ## install the official parser of AsyncAPI for its test, by npm

$(PARSER)/node_modules/ready: $(PARSER)/package-lock.json
	@cd $(PARSER) && $(THRICE) npm ci --ignore-scripts --no-fund --no-audit --loglevel=error
	@touch $@

bench: $(READY) ## measure everything, in about two hours; BENCH=--quick in ten minutes
	@$(BIN)/python -m bench.suite $(BENCH)

bench-check: $(READY) ## CPU per request and statement counts against bench/expected.json
	@$(BIN)/python -m bench.check $(BENCH)

clean: ## remove .venv and caches; the data folder stays
	@rm -rf $(VENV) $(PARSER)/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
