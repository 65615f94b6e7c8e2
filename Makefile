# Everything runs from the repository root. `make help` lists the targets.
SHELL := /bin/sh
PYTHON := .venv/bin/python
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test infra-test faults mutants proof bench bench-small bench-growth bench-pull bench-peers containers audit lint format lock clean

help: ## list every target
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | \
	  awk -F '\t' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: ## the set-up alone: .venv with the pinned packages, .venv/bin/crossdock, the MySQL server
	@sh crossdock/stack/setup.sh

demo: setup ## set up, start the local stack, take the sample drop from upload to report, stop
	@$(PYTHON) -m crossdock demo $(ARGS)

# Whoever passes options on wants some tests of the code, and not the infrastructure's beside them.
test: setup $(if $(ARGS),,infra-test) ## set up and run the tests against the real parts (ARGS='-k lease' passes options on)
	@$(PYTHON) -m pytest -n 2 --dist loadfile $(ARGS)

infra-test: setup ## Terraform's engine and checkov over infra/terraform, without a network
	@sh tests/infra/setup.sh
	@.infra-venv/bin/python -m tests.infra

faults: setup ## strike the real services at every step, statement and read (ARGS='--only GLOB')
	@$(PYTHON) -m tests.faults $(ARGS)

mutants: setup ## seed bugs, one at a time, and see that each is caught (ARGS='--only GLOB')
	@$(PYTHON) -m tests.mutants $(ARGS)

proof: setup ## the long comparisons and giants, whole, with their totals (ARGS='--seed 7')
	@$(PYTHON) -m tests.proof $(ARGS)

bench: setup ## whole loads against LOAD DATA alone, at 220 k and 2.2 M rows (ARGS='--rows 11000000')
	@$(PYTHON) -m benchmarks $(ARGS)

bench-growth: setup ## first loads of 220 k, 2.2 M and 11 M rows (ARGS='--buffer-pool 1G --buffer-pool 128M')
	@$(PYTHON) -m benchmarks.growth $(ARGS)

bench-pull: setup ## the same load through push and through pull, and one of eleven minutes through pull
	@$(PYTHON) -m benchmarks.push_and_pull $(ARGS)

bench-peers: setup ## the same files through dlt, sling, ingestr, pandas and polars (ARGS='--only dlt')
	@$(PYTHON) -m benchmarks.peers $(ARGS)

bench-small: setup ## small drops through the whole stack: alone, at once, beside a large one
	@$(PYTHON) -m benchmarks.small_drops $(ARGS)

containers: setup ## build the image and run the whole system in containers (needs Docker)
	@$(PYTHON) -m tests.containers

audit: ## ask pip-audit's advisory service about every pinned package (not a part of `make test`)
	@if [ ! -x .audit-venv/bin/python ] || [ requirements-audit.txt -nt .audit-venv ]; then \
	  echo 'audit: installing pip-audit' && rm -rf .audit-venv && python3 -m venv .audit-venv && \
	  .audit-venv/bin/pip install --quiet --require-hashes -r requirements-audit.txt; fi
	@.audit-venv/bin/python -m infra.audit requirements*.txt

lint: setup ## ruff, its formatter, mypy --strict, the import rules
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@.venv/bin/lint-imports

format: setup ## rewrite the code as the formatter wants it
	@$(PYTHON) -m ruff format .
	@$(PYTHON) -m ruff check --fix .

# uv resolves once for every Python from 3.11 on and for every platform. It lives in a throwaway
# environment, so that the lock files do not depend on what the project itself has installed.
LOCK := .lock-venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' --upgrade

PEERS := dlt ingestr sling pandas polars

lock: ## resolve pyproject.toml anew into the lock files
	@echo 'lock: resolving for Python 3.11 and later'
	@rm -rf .lock-venv && python3 -m venv .lock-venv && .lock-venv/bin/pip install --quiet uv
	@$(LOCK) --extra dev --output-file requirements-dev.txt pyproject.toml
	@$(LOCK) --constraint requirements-dev.txt --output-file requirements.txt pyproject.toml
	@$(LOCK) --group infra --output-file requirements-infra.txt
	@$(LOCK) --group audit --output-file requirements-audit.txt
	@$(LOCK) --group infra-schema --no-deps --output-file requirements-infra-schema.txt
	@for peer in $(PEERS); do \
	  $(LOCK) --group peer-$$peer --output-file benchmarks/peers/requirements-$$peer.txt || exit 1; \
	done
	@rm -rf .lock-venv
	@echo 'lock: requirements*.txt written'

clean: ## stop the local stack, remove its data, the environment and all caches
	@if [ -x .venv/bin/crossdock ] && [ -d .crossdock ]; then .venv/bin/crossdock down --purge; fi
	@rm -rf .venv .infra-venv .lock-venv .peers-venv .audit-venv .crossdock *.egg-info build .mypy_cache .ruff_cache .pytest_cache \
	  .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo 'clean: done'
