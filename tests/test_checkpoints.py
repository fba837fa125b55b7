"""Checkpoints that are damaged, of another training, or do not fit on the disk."""

import json
import shutil

import numpy as np
import pytest

from jaxpose.training import checkpoints, digests
from jaxpose.training.checkpoints import CheckpointError, Checkpoints

RANKS = {1: 0.9, 2: 0.5, 3: 0.7, 4: 0.6}
"""Epoch -> its measure; the first one is the best."""


def state(epoch):
    random = np.random.default_rng(epoch)
    return {
        "kernel": random.normal(size=(20, 30)).astype(np.float32),
        "moments": {"first": np.arange(3.0) + epoch, "step": np.int32(epoch)},
    }


def rows(epoch):
    return [{"epoch": k} for k in range(1, epoch + 1)]


def save(folder, **basis):
    with Checkpoints(folder, highest=True, basis=basis) as training:
        for epoch, rank in RANKS.items():
            training.save(epoch, state(epoch), rows(epoch), rank)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "checkpoints"
    save(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "checkpoints")


def read(folder, **basis):
    """The epoch that a training goes on from; its state, history and the best are the true ones."""
    with Checkpoints(folder, highest=True, basis=basis) as training:
        epoch, restored, history = training.restore_latest(state(0))
        assert history == rows(epoch)
        assert digests.of_arrays(restored) == digests.of_arrays(state(epoch))
        assert training.best() == 1
        assert digests.of_arrays(training.restore_best(state(0))) == digests.of_arrays(state(1))
        return epoch


def test_the_two_newest_and_the_best_checkpoint_are_on_disk(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["1", "3", "4"]
    assert read(folder) == 4


def test_of_equal_measures_the_last_epoch_is_the_best(tmp_path):
    with Checkpoints(tmp_path, highest=False) as training:
        for epoch, measure in enumerate((2.0, 1.0, 1.0, 3.0), start=1):
            training.save(epoch, state(epoch), rows(epoch), measure)
        assert training.best() == 3


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    path.write_bytes(b"")


def gone(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [half, empty, gone, flipped])
def test_whatever_file_of_the_newest_checkpoint_is_damaged_the_one_before_is_read(
    saved, tmp_path, damage, capfd
):
    names = [path.relative_to(saved) for path in (saved / "4").rglob("*")]
    names = [name for name in names if (saved / name).is_file() and (saved / name).stat().st_size]
    assert len(names) > 8
    for number, name in enumerate(names):
        folder = shutil.copytree(saved, tmp_path / str(number))
        damage(folder / name)
        quiet = damage is gone and name.name == digests.NAME  # as after a kill: nothing is wrong
        assert read(folder) == (4 if quiet else 3), name
        lines = capfd.readouterr().err.splitlines()
        expected = f"warning: {folder / '4'}: this checkpoint is damaged ("
        assert [line.startswith(expected) for line in lines] == [True] * (not quiet), lines
        if not quiet:
            assert lines[0].endswith("; going on from epoch 3")
            assert not (folder / "4").exists()  # epoch 4 can be saved again


def test_a_folder_whose_files_are_all_gone_is_damaged(folder):
    shutil.rmtree(folder / "4")
    (folder / "4").mkdir()
    assert read(folder) == 3


def test_damage_that_only_orbax_sees_falls_back_as_well(folder, capfd):
    gone(folder / "4" / digests.NAME)
    half(folder / "4" / "state" / "_METADATA")
    assert read(folder) == 3
    assert "going on from epoch 3" in capfd.readouterr().err


def test_where_none_can_be_read_the_message_names_the_folder_and_nothing_is_deleted(folder, capfd):
    for epoch in (1, 3, 4):
        empty(folder / str(epoch) / "state" / "_METADATA")
    with pytest.raises(CheckpointError) as error:
        read(folder)
    assert str(error.value) == (
        f"{folder}: no checkpoint can be read (state/_METADATA is not as it was written); delete "
        "this folder to train this net again from epoch 1"
    )
    assert sorted(path.name for path in folder.iterdir()) == ["1", "3", "4"]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("damage", [half, gone])
def test_another_epoch_never_takes_the_place_of_a_damaged_best_one(folder, damage):
    damage(folder / "1" / "state" / "_METADATA")
    with pytest.raises(CheckpointError, match=f"1: the best checkpoint is damaged .*{folder}"):
        read(folder)
    shutil.rmtree(folder / "1")
    with pytest.raises(CheckpointError, match="the best checkpoint is damaged .it is missing"):
        read(folder)


@pytest.mark.parametrize(
    ("now", "other"),
    [
        ({"configuration": "b", "detection net": "x"}, "another configuration;"),
        ({"configuration": "a", "detection net": "y"}, "another detection net;"),
        (
            {"configuration": "b", "detection net": "y"},
            "another configuration and another detection net;",
        ),
        ({}, "another configuration and another detection net;"),
    ],
)
def test_checkpoints_of_another_training_are_refused_and_stay(tmp_path, now, other):
    basis = {"configuration": "a", "detection net": "x"}
    save(tmp_path, **basis)
    with pytest.raises(CheckpointError, match=f"trained with {other}.*delete this folder"):
        read(tmp_path, **now)
    assert read(tmp_path, **basis) == 4


@pytest.mark.parametrize(
    "error",
    [
        ValueError("RESOURCE_EXHAUSTED: Failed to write: No space left on device"),
        OSError(28, "No space left on device", "/a"),
    ],
    ids=["TensorStore", "system"],
)
def test_a_checkpoint_that_does_not_fit_is_an_error_of_the_system_and_leaves_no_part(
    folder, monkeypatch, error, capfd
):
    with Checkpoints(folder, highest=True) as training:
        training.restore_latest(state(0))

        def fail(*arguments, **options):
            (folder / "5.orbax-checkpoint-tmp").mkdir()
            raise error

        monkeypatch.setattr(training._manager, "save", fail)
        with pytest.raises(OSError, match="5: this checkpoint cannot be written .*No space left"):
            training.save(5, state(5), rows(5), 1.0)
        assert training.best() == 1
    assert sorted(path.name for path in folder.iterdir()) == ["1", "3", "4"]
    assert read(folder) == 4


def test_a_checkpoint_of_an_earlier_format_is_not_read_as_one_of_this(folder):
    record = folder / "4" / "record" / "metadata"
    value = json.loads(record.read_text())
    record.write_text(json.dumps(value["history"]))
    gone(folder / "4" / digests.NAME)
    assert read(folder) == 3


def test_a_reason_is_one_line_with_the_cause_at_its_end():
    long = ValueError(f"OUT_OF_RANGE: {'x' * 500}: No space left on device\nmore")
    reason = checkpoints._reason(long)
    assert reason.startswith("OUT_OF_RANGE") and reason.endswith("No space left on device")
    assert len(reason) < 200
    assert "\n" not in reason


def test_every_array_counts_in_a_digest_of_arrays():
    tree = state(1)
    digest = digests.of_arrays(tree)
    assert digest == digests.of_arrays(state(1)) != digests.of_arrays(state(2))
    assert digest != digests.of_arrays(tree | {"kernel": tree["kernel"].reshape(30, 20)})
    assert digest != digests.of_arrays(tree | {"kernel": tree["kernel"].view(np.int32)})
    tree["moments"]["step"] += 1
    assert digest != digests.of_arrays(tree)
