# Every target works on a fresh machine: it makes .venv and installs first what it needs, the pipeline's packages
# (requirements.lock) or those of development too (requirements-dev.lock).

PYTHON ?= python3
PIP_OPTIONS ?=
DVC_OPTIONS ?=
# Studies that `make repro` runs at once; by default as many as there are cores.
JOBS ?=
# Three processes, so that two cores have work while one waits for a command; a file's tests stay together and share its
# fixtures. Files come in the order of tests/conftest.py: long ones first.
PYTEST_OPTIONS ?= -n 3 --dist loadfile --no-loadscope-reorder
BENCH_OPTIONS ?=
CHAOS_OPTIONS ?=
LOCK_OPTIONS ?=

# dvc.yaml's `cmd: python …` takes the first python on PATH.
RUN := PATH="$(CURDIR)/.venv/bin:$$PATH"
PIPELINE := .venv/.pipeline
INSTALLED := .venv/.installed
# data/raw/ is not generated, whatever its folders are called.
GENERATED = $(filter-out data/raw/%,$(wildcard $(addprefix data/*/,synthesize train predict evaluate plot stamps)))

.PHONY: help repro test check lint mutants chaos bench report review experiments why verify verify-cache versions lock clean distclean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## */  \1	/p' Makefile
	@echo 'Options, e.g. make repro PIP_OPTIONS="--proxy …": PYTHON PIP_OPTIONS DVC_OPTIONS JOBS PYTEST_OPTIONS BENCH_OPTIONS CHAOS_OPTIONS LOCK_OPTIONS'

repro: $(PIPELINE) dvc_plots/vega.js  ## run what changed in the studies, then show their metrics
	$(RUN) python -m stages.repro $(if $(JOBS),--jobs $(JOBS)) $(DVC_OPTIONS)

test: $(INSTALLED)  ## run all tests
	$(RUN) python -m pytest $(PYTEST_OPTIONS)

check: lint  ## lint, and the fast tests
	$(RUN) python -m pytest $(PYTEST_OPTIONS) -m "not slow"

lint: $(INSTALLED)  ## format, lint, types, import contracts
	$(RUN) ruff format --check
	$(RUN) ruff check
	$(RUN) mypy
	$(RUN) lint-imports --no-logo

WORDS ?=
mutants: $(INSTALLED)  ## make single lines wrong, one at a time, and see that tests notice (WORDS: those with a word)
	$(RUN) python -m tests.mutants $(WORDS)

chaos: $(INSTALLED)  ## kill, edit and cut around `dvc repro` for 60 rounds, and compare bytes with a clean run
	$(RUN) PYTHONPATH=. python tests/chaos.py $(CHAOS_OPTIONS)

bench: $(INSTALLED)  ## measure speed and accuracy beside peers
	$(RUN) python -m benchmarks $(BENCH_OPTIONS)
	$(if $(BENCH_OPTIONS),,$(RUN) python -m benchmarks.accuracy large)

bench-calibration bench-bayesian bench-coverage bench-motorcycle bench-network bench-optimum bench-oscillators bench-large bench-series bench-structure bench-uci: $(INSTALLED)  ## measure accuracy on one kind of data
	$(RUN) python -m benchmarks.accuracy $(@:bench-%=%) $(BENCH_OPTIONS)

report: $(PIPELINE)  ## write report.html, one page over all studies
	$(RUN) python -m review.report

BASE ?= main
review: $(PIPELINE) dvc_plots/vega.js  ## say what changed since BASE (a revision; HEAD: another, else the files on disk), and if it is better
	$(RUN) python -m review.compare '$(BASE)' $(if $(HEAD),'$(HEAD)')

experiments: $(PIPELINE)  ## one table of the experiments that began at HEAD (or BASE): what changed, better or worse
	@$(RUN) python -m review.compare.experiments $(if $(filter command line environment,$(origin BASE)),'$(BASE)')

# What draws `dvc plots`' page (.dvc/plots/page.html) without a network.
dvc_plots/vega.js: $(PIPELINE)
	$(RUN) python -m review.page

why: $(PIPELINE)  ## say for each stage that `dvc repro` would run what changed
	@$(RUN) python -m review.lock.why

verify: $(PIPELINE)  ## check that dvc.lock is up to date, without data (verify-cache: that cached files are whole)
	@$(RUN) python -m review.lock.verify

verify-cache: $(PIPELINE)
	@$(RUN) python -m review.lock.verify --cache

versions: $(PIPELINE)  ## record the installed versions of what shapes outputs
	$(RUN) python -m stages.versions

# Pins stay as they are unless LOCK_OPTIONS="--upgrade-package NAME" asks. One version for all Pythons (`fewest`). CUDA's
# packages are left out: pip finds those of the torch build it takes, and a CPU build has none.
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --annotation-style line \
	    --custom-compile-command "make lock" $(LOCK_OPTIONS)
lock: $(INSTALLED)  ## renew requirements.lock and requirements-dev.lock from pyproject.toml
	cat requirements.lock requirements-dev.lock | grep -v '^-r' > .venv/all.lock
	$(RUN) $(COMPILE) --extra dev --output-file .venv/all.lock pyproject.toml
	$(RUN) $(COMPILE) --extra pipeline --extra report --constraints .venv/all.lock \
	    --output-file .venv/pipeline.lock pyproject.toml
	grep -vE '^(cuda-|nvidia-|triton)' .venv/pipeline.lock | sed -E 's/,? -c [^ ,]*//; s/# via,/# via/' > requirements.lock
	{ printf '# What development needs besides the pipeline; `make lock` writes this file.\n-r requirements.lock\n'; \
	    awk 'NR == FNR { known[$$1]; next } !($$1 in known)' .venv/pipeline.lock .venv/all.lock | \
	    grep -vE '^(#|cuda-|nvidia-|triton)'; } > requirements-dev.lock

clean:  ## remove generated data and caches (`make repro` takes results back from DVC's cache)
	rm -rf $(GENERATED) dvc_plots .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . \( -path ./.git -o -path ./.dvc -o -path ./.venv -o -path ./benchmarks/.venvs \) -prune \
	    -o -type d -name __pycache__ -prune -exec rm -rf {} +

distclean: clean  ## clean, and remove the virtual environments
	rm -rf .venv benchmarks/.venvs

# A venv without a working pip was left half made: start again. The stamp comes last, so a broken installation is resumed.
# Python compiles what it imports and keeps that; pip would compile all there is, which is most of an installation's time.
# Where Python is told to keep nothing, every process would compile torch anew, for ten seconds: there pip does it once.
define INSTALL
	@.venv/bin/python -m pip --version >/dev/null 2>&1 || { \
	    $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	        echo "Python 3.11 or newer is needed; '$(PYTHON)' is: $$($(PYTHON) --version 2>&1)." \
	            "Name another one: make PYTHON=python3.13 …" >&2; exit 1; }; \
	    echo "$(PYTHON) -m venv .venv"; $(PYTHON) -m venv --clear .venv; }
	@echo "Installing $< into .venv"
	@.venv/bin/python -m pip install --quiet $(if $(PYTHONDONTWRITEBYTECODE),,--no-compile) --disable-pip-version-check $(PIP_OPTIONS) -r $< || { \
	    echo "$< could not be installed, for the reason above; what is done so far is kept." >&2; \
	    echo "Behind a proxy: make PIP_OPTIONS=\"--proxy …\" …" >&2; \
	    echo "Without a network, from a folder of wheels: make PIP_OPTIONS=\"--no-index --find-links FOLDER\" …" >&2; \
	    exit 1; }
	@touch $@
endef
$(PIPELINE): requirements.lock
	$(INSTALL)
$(INSTALLED): requirements-dev.lock $(PIPELINE)
	$(INSTALL)
