"""What the machine decides, once."""

import dataclasses

import jax
import pytest

from experiments import choices
from experiments.config import ConfigError
from experiments.options import parse
from experiments.recipe import default_name
from jaxpose.cost import memory
from jaxpose.lowering import LOWERINGS
from jaxpose.lowering.onednn import library
from jaxpose.lowering.onednn import lowering as onednn

GIB = 2**30


@pytest.fixture
def cpu(monkeypatch):
    """A CPU with 24 GiB on which oneDNN can do float32 alone."""
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    monkeypatch.setattr(memory, "machine_bytes", lambda: 24 * GIB)

    def unavailable(dtype):
        return None if dtype == "float32" else "it cannot; choose the lowering `folded`"

    able = dataclasses.replace(onednn.LOWERING, unavailable=unavailable)
    monkeypatch.setattr(onednn, "LOWERING", able)
    monkeypatch.setitem(LOWERINGS, "onednn", able)


def test_a_resumed_run_keeps_what_was_chosen_on_another_machine(cpu):
    config = parse(["--width=0.1"])
    stored = {"lowering": "folded", "feed": "numpy"}
    assert choices.resolve(config, {}).machine.lowering == "onednn"
    machine = choices.resolve(config, stored).machine
    assert (machine.lowering, machine.feed) == ("folded", "numpy")


def test_micro_batches_are_never_chosen_silently(cpu, monkeypatch):
    # 16 clips of the paper through full: 2.3 GB of outputs, 15.2 GB folded; 12.9 GB may be used
    monkeypatch.setattr(memory, "machine_bytes", lambda: 20 * GIB)
    paper = ["--preset=paper", "--variant=full", "--lowering=folded"]
    with pytest.raises(ConfigError, match=r"regression net takes about 15 GB.*_micro_batches=2"):
        choices.resolve(parse(paper), {})
    monkeypatch.setattr(memory, "machine_bytes", lambda: 6 * GIB)
    with pytest.raises(ConfigError, match="pass --detection_micro_batches=2"):
        choices.resolve(parse(paper), {})
    asked = [*paper, "--regression_micro_batches=8", "--detection_micro_batches=4"]
    machine = choices.resolve(parse(asked), {}).machine
    assert (machine.detection_micro_batches, machine.regression_micro_batches) == (4, 8)
    monkeypatch.setattr(memory, "machine_bytes", lambda: 64 * GIB)
    assert choices.resolve(parse(paper), {}).machine.regression_micro_batches == 1


def test_mirror_images_are_trained_on_unless_asked_otherwise():
    utd = ["--dataset=utd_mhad", "--data_dir=x"]
    for arguments, expected in (
        ([], True),
        (["--mirror=False"], False),
        (utd, True),
        ([*utd, "--mirror=False"], False),
        (["--preset=paper"], False),
    ):
        assert parse(arguments).recipe.mirror is expected, arguments


@pytest.mark.parametrize("precision, chosen", [("float32", "onednn"), ("bfloat16", "folded")])
def test_where_onednn_cannot_do_it_a_cpu_with_bfloat16_folds(precision, chosen, cpu, monkeypatch):
    monkeypatch.setattr(library, "has_bfloat16", lambda: True)
    config = choices.resolve(parse([f"--precision={precision}"]), {})
    assert config.machine.lowering == chosen


def test_a_cpu_without_bfloat16_emulates_it_only_by_a_lowering_that_is_named(cpu, monkeypatch):
    monkeypatch.setattr(library, "has_bfloat16", lambda: False)
    words = "--precision=bfloat16: this CPU .*needs AVX-512 BF16 or AMX; use float32"
    for stored in ({}, {"lowering": "folded"}):
        with pytest.raises(ConfigError, match=words):
            choices.resolve(parse(["--precision=bfloat16"]), stored)
    named = choices.resolve(parse(["--precision=bfloat16", "--lowering=folded"]), {})
    assert named.machine.lowering == "folded"
    assert choices.resolve(parse([]), {}).machine.lowering == "onednn"


def test_onednn_is_refused_where_it_cannot_be_used_with_the_reason(cpu):
    with pytest.raises(ConfigError, match="--lowering=onednn --precision=bfloat16: it cannot"):
        choices.resolve(parse(["--lowering=onednn", "--precision=bfloat16"]), {})


def test_the_name_of_a_run_has_data_set_variant_seed_and_fold_and_digits_for_the_rest():
    name = lambda *arguments: default_name(parse([*arguments]).recipe)  # noqa: E731
    assert name() == "simulated-asy-seed0"
    assert name("--variant=full", "--seed=3") == "simulated-full-seed3"
    assert name("--folds=5", "--fold=2") == "simulated-asy-seed0-fold2of5"
    assert name("--width=0.25") == name("--detection.width=0.25") == "simulated-asy-seed0"
    assert name("--mirror=True") == "simulated-asy-seed0"  # the default for infants
    utd = ["--dataset=utd_mhad", "--data_dir=x", "--folds=6", "--fold=0"]
    assert name(*utd) == "utd_mhad-asy-seed0-fold0of6"
    others = [
        name("--width=0.5"),
        name("--regression.epochs=21"),
        name("--test_ids=1"),
        name("--preset=paper"),
    ]
    assert len(set(others)) == 4
    for other in others:
        start, digits = other.rsplit("-", 1)
        assert start == "simulated-asy-seed0" and len(digits) == 6 and int(digits, 16) >= 0
    assert name("--runs_dir=elsewhere", "--lowering=folded") == "simulated-asy-seed0"


def test_the_recipe_s_hash_depends_on_the_recipe_alone():
    assert parse([]).recipe.hash == parse(["--runs_dir=x", "--feed=numpy"]).recipe.hash
    assert parse([]).recipe.hash != parse(["--seed=1"]).recipe.hash
    assert (
        parse(["--batch_size=4"]).recipe.hash
        == parse(["--detection.batch_size=4", "--regression.batch_size=4"]).recipe.hash
    )


def test_each_net_has_its_own_width():
    recipe = parse(["--width=0.5", "--detection.width=0.125"]).recipe
    nets = choices.nets(recipe)
    assert nets["detection"].layers[0].cout == 8 and nets["regression"].layers[0].cout == 32


def test_the_user_s_home_is_expanded_in_every_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    place = parse(["--runs_dir=~/r", "--cache_dir=~/c", "--data_dir=~/d"]).place
    assert (place.runs_dir, place.cache_dir, place.data_dir) == tuple(
        tmp_path / name for name in "rcd"
    )
