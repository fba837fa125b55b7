"""What the machine decides, once."""

from experiments import choices
from experiments.config import parse
from jaxpose import memory

GIB = 2**30


def test_a_resumed_run_keeps_what_was_chosen_on_another_machine(monkeypatch):
    config = parse(["--preset=paper", "--lowering=folded"])
    monkeypatch.setattr(memory, "machine_bytes", lambda: 24 * GIB)
    assert choices.resolve(config, {}).regression.micro_batches == 2
    kept = {"regression": {"micro_batches": 8}, "feed": "numpy"}
    found = choices.resolve(config, kept)
    assert (found.regression.micro_batches, found.feed) == (8, "numpy")
    asked = parse(["--preset=paper", "--lowering=folded", "--regression.micro_batches=4"])
    assert choices.resolve(asked, kept).regression.micro_batches == 4


def test_mirror_images_are_for_infants_unless_said_otherwise():
    utd = ["--dataset=utd_mhad", "--data_dir=x"]
    for arguments, wanted in (
        ([], True),
        (["--mirror=False"], False),
        (utd, False),
        ([*utd, "--mirror=True"], True),
        (["--preset=paper"], False),
    ):
        config = parse(["--lowering=folded", *arguments])
        assert choices.resolve(config, {}).mirror is wanted, arguments
    assert choices.resolve(parse(["--lowering=folded"]), {"mirror": False}).mirror is False
