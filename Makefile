# `make run` trains and tests the system on simulated infants; `make test` runs the tests.
# Every target creates .venv if needed, and updates it when pyproject.toml or constraints.txt change.

PYTHON ?= python3
ARGS ?= --variant=asy
EXTRAS ?= data,onednn,test

# Large memory pages for the arrays that every training step allocates. C libraries other than glibc
# ignore this.
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

.PHONY: run bench gpu study model model-test readme test test-all lint clean .venv

run: .venv
	@.venv/bin/python -m experiments.run $(ARGS)

# Run this on a machine that does nothing else. With PyTorch, ONNX Runtime and OpenVINO:
# make bench EXTRAS=data,onednn,test,peers ARGS='--peers'
bench: ARGS =
bench: .venv
	@.venv/bin/python -m experiments.bench $(ARGS)

# make gpu EXTRAS=cuda12 DATA=FILE.npz, where data_pipeline.prepare wrote the file.
DATA ?= utd.npz
gpu: .venv
	@.venv/bin/python -m experiments.gpu --data=$(DATA)

# Computes the missing jobs of the study; make study ARGS='--dry_run' lists them.
study: ARGS =
study: .venv
	@.venv/bin/python -m experiments.study $(ARGS)

# Trains the model that jaxpose ships, and calibrates its confidence, on simulated infants: an hour or
# two on two cores. Stopped, the same command goes on. Overwrites jaxpose/models/infant.safetensors.
SIMULATE = .venv/bin/python -m data_pipeline.simulate --frames=16 --size=320,240
model: .venv
	@$(SIMULATE) --infants=2000 --seed=4001 --out=data/model
	@$(SIMULATE) --infants=400 --seed=4003 --out=data/model-confidence
	@.venv/bin/python -m experiments.run --preset=long --variant=asy --folds=50 --fold=0 --data_dir=data/model --name=model
	@.venv/bin/python -m experiments.calibrate runs/model --data_dir=data/model --more_dir=data/model-confidence
	@cp runs/model/model.safetensors jaxpose/models/infant.safetensors

# Tests the model that jaxpose ships on infants that nothing else has seen. Overwrites the committed
# result and docs/reliability.png; `make readme` then updates the card.
model-test: .venv
	@$(SIMULATE) --infants=240 --seed=4002 --out=data/model-test
	@.venv/bin/python -m experiments.evaluate jaxpose/models/infant.safetensors --data_dir=data/model-test \
		--out=experiments/results/model-infant-seed4002.json --curve=docs/reliability.png

# Updates the tables of README.md and docs/ from the committed results.
readme: .venv
	@.venv/bin/python -m experiments.readme

test: .venv
	.venv/bin/python -m pytest

test-all: .venv
	.venv/bin/python -m pytest -m "slow or not slow"

lint: .venv
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

# One stamp file per choice of extras. Another choice is installed in addition.
comma := ,
STAMP := .venv/.installed-$(subst $(comma),-,$(EXTRAS))
.venv: $(STAMP)

# The stamp is written last, so that a failed installation is repeated. Messages are printed to stderr:
# the last line of `make run` on stdout is the run's result.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'expected Python 3.11 or newer; set PYTHON=...')"
	@echo "creating .venv (a minute or two)" >&2
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv >&2
	@.venv/bin/python -m pip install --quiet -c constraints.txt -e '.[$(EXTRAS)]' >&2
	@touch $(STAMP)

# Removes what can be created again, but not runs and your own data.
clean:
	rm -rf .venv data/simulated data/cache
