"""What the machine decides, once."""

import jax
import pytest

from experiments import choices
from experiments.config import ConfigError
from experiments.options import parse
from jaxpose.cost import memory
from jaxpose.lowering import onednn

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


@pytest.mark.parametrize(
    "more, kept, parts",
    [
        (["--lowering=folded"], {}, 2),
        (["--lowering=conv3d"], {}, 1),
        ([], {"lowering": "folded"}, 2),
        ([], {}, 1),
    ],
)
def test_a_batch_is_divided_by_what_the_lowering_that_will_be_used_needs(
    more, kept, parts, monkeypatch
):
    # 16 of the paper's clips through full: 2.3 GB of outputs, 15.2 GB folded, 9.2 by conv3d, 8.1
    # by onednn; 10.3 of 16 GiB may be taken
    monkeypatch.setattr(memory, "machine_bytes", lambda: 16 * GIB)
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    monkeypatch.setattr(onednn, "can", lambda dtype: True)
    config = parse(["--preset=paper", "--variant=full", *more])
    assert choices.resolve(config, kept).regression.micro_batches == parts


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


@pytest.mark.parametrize("precision, chosen", [("float32", "onednn"), ("bfloat16", "folded")])
def test_a_cpu_without_bfloat16_for_onednn_folds_what_is_in_bfloat16(
    precision, chosen, monkeypatch
):
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    monkeypatch.setattr(onednn, "can", lambda dtype: dtype == "float32")
    config = choices.resolve(parse([f"--precision={precision}"]), {})
    assert config.lowering == chosen
    again = choices.resolve(parse([f"--precision={precision}"]), {"lowering": chosen})
    assert again.lowering == chosen


@pytest.mark.parametrize(
    "backend, can, words",
    [
        ("cpu", ["float32"], "--precision=bfloat16: oneDNN cannot compute bfloat16 on this CPU"),
        ("cpu", [], "pip install -e '.[onednn]'"),
        ("gpu", ["float32", "bfloat16"], "needs a CPU"),
    ],
)
def test_onednn_is_refused_where_it_cannot_be_had_with_the_reason(backend, can, words, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    monkeypatch.setattr(onednn, "can", lambda dtype: dtype in can)
    monkeypatch.setattr(memory, "machine_bytes", lambda: 24 * GIB)
    with pytest.raises(ConfigError) as refused:
        choices.resolve(parse(["--lowering=onednn", "--precision=bfloat16"]), {})
    assert words in str(refused.value) and "--lowering=folded" in str(refused.value)
