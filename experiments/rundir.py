"""A run's folder: checked before any work; every file is written whole or not at all.

runs/<name>/   config.json, split.json, checkpoints/, metrics.jsonl, tensorboard/,
               model.safetensors, result.json, predictions.npz, table2.md, figures/
"""

import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import tensorboardX

from experiments.config import Config, ConfigError
from experiments.numerics import NUMERICS
from jaxpose.files import write_json, write_text


def claim(folder: Path, needed_bytes: int, *, option: str = "--runs_dir or --name") -> None:
    """Creates the folder and checks that it can be written and has room, before any work.

    `option` names what sets the folder.

    Raises:
      ConfigError: it cannot be written, or the disk is too full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe.{os.getpid()}"
        try:
            probe.write_bytes(b"0" * 4096)
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{folder}: cannot be written ({error.strerror}); choose another {option}, or change "
            "the folder's permissions"
        ) from error
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise ConfigError(
            f"{folder}: {free / 1e6:.0f} MB free, about {needed_bytes / 1e6:.0f} MB are needed; "
            f"make room or choose another {option}"
        )


FILES = (
    "config.json",
    "split.json",
    "metrics.jsonl",
    "table2.md",
    "model.safetensors",
    "result.json",
    "predictions.npz",
)
FOLDERS = ("checkpoints", "figures", "tensorboard")
"""What a run writes to its folder."""


def claim_run(folder: Path, needed_bytes: int) -> None:
    """Checks as `claim` does that a run can write its files, those of an earlier start included.

    Raises:
      ConfigError: a file or a folder cannot be written, or the disk is too full.
    """
    claim(folder, needed_bytes)
    for name in FILES:
        if (folder / name).is_dir():
            raise ConfigError(
                f"{folder / name}: is a folder, where the run writes a file; delete it, or choose "
                "another --name"
            )
    for name in FOLDERS:
        if os.path.lexists(folder / name):
            claim(folder / name, 0)


def remove_if_empty(folder: Path) -> None:
    """Removes a folder that a refused command created and did not use."""
    with contextlib.suppress(OSError):  # it is not empty
        folder.rmdir()


def read_json(path: Path) -> dict | None:
    """Reads a JSON object of a run's folder; None if there is no such file.

    Raises:
      ConfigError: a damaged file.
    """
    if not path.exists():
        return None
    try:
        value = json.loads(path.read_text())
    except (ValueError, OSError) as error:
        raise ConfigError(
            f"{path}: is not JSON ({error}); delete {path.parent} to start again"
        ) from None
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: is not a JSON object; delete {path.parent} to start again")
    return value


def compare(folder: Path, name: str, expected: dict, what: str) -> None:
    """Checks that the facts of a run that has begun are unchanged.

    Raises:
      ConfigError: names what differs, so that a resumed run cannot silently become another one.
    """
    stored = read_json(folder / name)
    expected = json.loads(json.dumps(expected))
    if stored is not None and stored != expected:
        differing = "; ".join(_differences(stored, expected))
        raise ConfigError(
            f"{folder} holds a run with another {what}: {differing}; choose another --name, or "
            "delete the folder to start again"
        )


def settle(folder: Path, name: str, expected: dict, what: str) -> None:
    """Writes the facts of a run, or checks that they are unchanged. Errors as in `compare`."""
    compare(folder, name, expected, what)
    if not (folder / name).exists():
        write_json(folder / name, expected)


def _differences(stored, expected, where: str = "") -> Iterator[str]:
    if isinstance(stored, dict) and isinstance(expected, dict):
        for key in sorted(stored.keys() | expected.keys()):
            below = f"{where}.{key}".lstrip(".")
            yield from _differences(stored.get(key), expected.get(key), below)
    elif stored != expected:
        yield f"{where} was {_short(stored)}, now {_short(expected)}"


def _short(value) -> str:
    text = json.dumps(value)
    return text if len(text) < 60 else text[:57] + "..."


def config_json(config: Config) -> dict:
    """Returns what a run must not change: recipe, machine without its device, and `NUMERICS`."""
    machine = dataclasses.asdict(config.machine)
    machine.pop("device")
    return {"numerics": NUMERICS, "recipe": config.recipe.as_json(), "machine": machine}


def stored_machine(folder: Path) -> dict:
    """The machine part of an earlier start in this folder, or {} if there is none.

    Raises:
      ConfigError: a folder of jaxpose 0.1.
    """
    stored = read_json(folder / "config.json")
    if stored is None:
        return {}
    if "recipe" not in stored:
        raise ConfigError(
            f"{folder}: is a run of jaxpose 0.1, which this version cannot continue; choose "
            "another --name, or delete the folder"
        )
    machine = stored.get("machine")
    return machine if isinstance(machine, dict) else {}


class History:
    """metrics.jsonl, one row per epoch, and the same for TensorBoard, which is appended to."""

    def __init__(self, folder: Path):
        self.folder, self._writer = folder, None
        self._written = self._read()

    def _read(self) -> list[dict]:
        path = self.folder / "metrics.jsonl"
        if not path.exists():
            return []
        try:
            return [json.loads(line) for line in path.read_text().splitlines()]
        except ValueError:
            return []  # written again

    def write(self, rows: list[dict]) -> None:
        """Writes all rows so far; those that are new go to TensorBoard."""
        same = 0
        while same < min(len(rows), len(self._written)) and rows[same] == self._written[same]:
            same += 1
        for row in rows[same:]:
            self._writer = self._writer or tensorboardX.SummaryWriter(
                str(self.folder / "tensorboard")
            )
            for name, value in row.items():
                if isinstance(value, float):
                    self._writer.add_scalar(f"{row['stage']}/{name}", value, row["epoch"])
        if self._writer is not None:
            self._writer.flush()
        write_text(self.folder / "metrics.jsonl", "".join(json.dumps(r) + "\n" for r in rows))
        self._written = list(rows)

    def close(self) -> None:
        """Closes TensorBoard's file."""
        if self._writer is not None:
            self._writer.close()
