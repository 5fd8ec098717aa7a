# Each target makes the virtual environment when it is missing: `git clone` and `make demo` are all the set-up there is.
VENV ?= .venv
PYTHON ?= python3
OUT ?= out
SITE ?= site
BIN := $(VENV)/bin
DATASET ?= mmcr-310k
BENCH ?= mmcr-bench
EXACT_TRAIN ?= exact-train
EXACT ?= mmcr-exact
MINI_FLAGS ?=
PIP_FLAGS ?=
EXACT_DIALOGUES ?= 3000
EXACT_TEST ?= 100

.PHONY: .venv locked lock demo mini test test-slow check docs bench clean

.venv: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(PIP_FLAGS) --constraint constraints.txt --editable '.[dev]'
	touch $@

# The same from requirements.lock: a file whose hash is not in it is refused.
locked:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $(VENV)/installed

# After a change of constraints.txt or pyproject.toml: hashes (uv asks PyPI) and licences of all dependencies.
lock: $(VENV)/installed
	$(BIN)/python -m pip install --quiet 'uv>=0.9'
	$(BIN)/uv pip compile pyproject.toml --extra dev --constraint constraints.txt --generate-hashes --universal \
		--python-version 3.11.9 --no-emit-index-url --no-header --no-annotate --quiet --output-file requirements.lock
	$(BIN)/python -m docs.write_licences

# The whole way of the paper, offline, minutes on two CPU cores. On shipped photographs: build, load, train, evaluate; the
# score without a judge checks the machinery only, as the look-up shows. In the controlled world, whose answers are known:
# fine-tune a small model that sees on dialogues with references, and compare it with itself before.
WORLD := --style plain --side 2 --domains shapes --images 1-3 --turns 6 --wordings 1 \
	--ops attr,name,it,ellipsis,correct,called,back,same
LAUNCH := $(BIN)/accelerate launch --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no train.py

demo: export HF_HUB_OFFLINE = 1
demo: export TOKENIZERS_PARALLELISM = false
demo: $(VENV)/installed
	rm -rf $(DATASET) $(DATASET).work $(BENCH) $(OUT) $(EXACT_TRAIN) $(EXACT)
	$(BIN)/python -m mmcr_dataset build --source demo --output_dir $(DATASET) --writer offline --filter labels --similarity_min 0.2
	$(BIN)/python -m mmcr_bench build $(DATASET) --output_dir $(BENCH) --single 4 --multi 2
	$(BIN)/python -c 'from datasets import load_dataset; print(load_dataset("$(DATASET)"))'
	$(LAUNCH) --config training/recipes/tiny_cpu.yaml --data $(DATASET) --output_dir $(OUT)/tiny_cpu
	$(BIN)/python -m eval_tasks --model hf:$(OUT)/tiny_cpu/final --tasks mmcr_bench --data $(BENCH) --judge offline \
		--max_new_tokens 64 --output_dir $(OUT)/overlap_tuned
	$(BIN)/python -m eval_tasks --model lookup:$(DATASET) --tasks mmcr_bench --data $(BENCH) --judge offline \
		--output_dir $(OUT)/overlap_lookup
	$(BIN)/python -m mmcr_bench exact build --output_dir $(EXACT_TRAIN) $(WORLD) --split train --telling linked --guesses none \
		--dialogues $(EXACT_DIALOGUES) --seed 1
	$(BIN)/python -m mmcr_bench exact build --output_dir $(EXACT) $(WORLD) --dialogues $(EXACT_TEST) --seed 2
	$(LAUNCH) --config training/recipes/mini_cpu.yaml --data $(EXACT_TRAIN) --output_dir $(OUT)/mini $(MINI_FLAGS)
	$(BIN)/python -m eval_tasks --model hf:training/mini --tasks mmcr_exact --data $(EXACT) --max_new_tokens 16 --output_dir $(OUT)/base
	$(BIN)/python -m eval_tasks --model hf:$(OUT)/mini/final --tasks mmcr_exact --data $(EXACT) --max_new_tokens 16 --output_dir $(OUT)/tuned
	$(BIN)/python -m eval_tasks compare $(OUT)/base $(OUT)/tuned
	$(BIN)/python -m eval_tasks report $(OUT)/base $(OUT)/tuned --html $(OUT)/report.html \
		--dataset $(DATASET) --data mmcr_exact=$(EXACT) --training $(OUT)/mini

# The small model that sees, from random weights: about ten CPU minutes.
mini: export HF_HUB_OFFLINE = 1
mini: export TOKENIZERS_PARALLELISM = false
mini: $(VENV)/installed
	$(BIN)/python -m experiments.mini --output_dir training/mini --work_dir $(OUT)/mini_lessons

# One worker a core; torch in a worker takes one thread, or the workers would fight for the cores.
test: export OMP_NUM_THREADS = 1
test: $(VENV)/installed
	$(BIN)/python -m pytest -n auto --dist worksteal

test-slow: $(VENV)/installed
	$(BIN)/python -m pytest -m slow --timeout 1200

check: $(VENV)/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# The site: guides, measured numbers, reference from the docstrings. A warning is an error; nothing is fetched.
docs: $(VENV)/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir $(SITE)

bench: $(VENV)/installed
	for name in dataset_parquet dataset_generate training_collate eval_api bench_review_page; do \
		$(BIN)/python -m benchmarks.$$name || exit 1; done

clean:
	rm -rf $(SITE) $(OUT) $(DATASET) $(DATASET).work $(BENCH) $(EXACT_TRAIN) $(EXACT)
