# Two commands: `make run` trains, tests and draws the system on simulated infants; `make test`.
# Everything runs in .venv, which is made here, and made anew when its two files change.

PYTHON ?= python3
ARGS ?= --variant=asy
EXTRAS ?= data,onednn,test

# Large pages for the arrays that every training step allocates; ignored where the C library is
# not glibc.
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

.PHONY: run bench gpu readme test test-all lint clean .venv

run: .venv
	@.venv/bin/python -m experiments.run $(ARGS)

# On a machine that does nothing else; make bench EXTRAS=data,onednn,test,peers ARGS='--peers'
bench: ARGS =
bench: .venv
	@.venv/bin/python -m experiments.bench $(ARGS)

# make gpu EXTRAS=cuda12 DATA=FILE.npz, a file written by data_pipeline.prepare
DATA ?= utd.npz
gpu: .venv
	@.venv/bin/python -m experiments.gpu --data=$(DATA)

# The tables of README.md and docs/, from the committed results.
readme: .venv
	@.venv/bin/python -m experiments.readme

test: .venv
	.venv/bin/python -m pytest

test-all: .venv
	.venv/bin/python -m pytest -m "slow or not slow"

lint: .venv
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

# A stamp for every choice of extras: another choice is installed beside what is there.
comma := ,
MADE := .venv/.made-$(subst $(comma),-,$(EXTRAS))
.venv: $(MADE)

# In place, and the stamp last: an install that failed leaves what was there and is done again.
# Talk goes to stderr: the last line of `make run` on stdout is the run's result.
$(MADE): pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'wanted Python 3.11 or newer; set PYTHON=...')"
	@echo "making .venv (a minute or two)" >&2
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv >&2
	@.venv/bin/python -m pip install --quiet -c constraints.txt -e '.[$(EXTRAS)]' >&2
	@touch $(MADE)

# What can be made again; runs and your own data stay.
clean:
	rm -rf .venv data/simulated data/cache
