"""A run's folder: claimed before any work, written whole or not at all.

runs/<name>/   config.json, split.json, checkpoints/, metrics.jsonl, tensorboard/,
               result.json, predictions.npz, table2.md, figures/
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import tensorboardX

from experiments.config import Config, ConfigError


def write_text(path: Path, text: str) -> None:
    """Beside, then renamed: a reader never meets half a file."""
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(text)
    beside.rename(path)


def write_json(path: Path, value) -> None:
    write_text(path, json.dumps(value, indent=2) + "\n")


def claim(folder: Path, needed_bytes: int) -> None:
    """Makes the folder and makes sure that it can be written and has room, before training."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe.{os.getpid()}"
        probe.write_bytes(b"0" * 4096)
        probe.unlink()
    except OSError as error:
        raise ConfigError(
            f"{folder}: cannot be written ({error.strerror}); choose another --runs_dir or --name, "
            "or mend the folder's permissions"
        ) from error
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise ConfigError(
            f"{folder}: {free / 1e6:.0f} MB free, the run needs about {needed_bytes / 1e6:.0f} MB "
            "for its checkpoints; make room or choose another --runs_dir"
        )


def remove_if_empty(folder: Path) -> None:
    """Takes away a folder that a refused command has made and left as it was."""
    with contextlib.suppress(OSError):  # it holds something, which is kept
        folder.rmdir()


def read_json(path: Path) -> dict | None:
    """What a run's folder says, or None where it does not yet."""
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text())
    except (ValueError, OSError) as error:
        raise ConfigError(
            f"{path}: is not JSON ({error}); delete {path.parent} to start anew"
        ) from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: is not a JSON object; delete {path.parent} to start anew")
    return found


def compare(folder: Path, name: str, wanted: dict, what: str) -> None:
    """Makes sure that the facts that a run stands on are what they were, if it has begun.

    Raises `ConfigError` that names what differs, so that a resumed run cannot quietly become
    another one.
    """
    there = read_json(folder / name)
    wanted = json.loads(json.dumps(wanted))
    if there is not None and there != wanted:
        differing = "; ".join(_differences(there, wanted))
        raise ConfigError(
            f"{folder} holds a run with another {what}: {differing}; choose another --name, or "
            "delete the folder to start anew"
        )


def settle(folder: Path, name: str, wanted: dict, what: str) -> None:
    """Writes the facts that a run stands on, or makes sure that they are what they were."""
    compare(folder, name, wanted, what)
    if not (folder / name).exists():
        write_json(folder / name, wanted)


def _differences(there, wanted, where: str = "") -> Iterator[str]:
    if isinstance(there, dict) and isinstance(wanted, dict):
        for key in sorted(there.keys() | wanted.keys()):
            yield from _differences(there.get(key), wanted.get(key), f"{where}.{key}".lstrip("."))
    elif there != wanted:
        yield f"{where} was {_short(there)}, now {_short(wanted)}"


def _short(value) -> str:
    text = json.dumps(value)
    return text if len(text) < 60 else text[:57] + "..."


def config_json(config: Config) -> dict:
    """What determines a run; where it is kept does not."""
    values = dataclasses.asdict(config)
    for place in ("name", "runs_dir", "cache_dir", "data_dir"):
        values.pop(place)
    return values


def short_hash(value) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def write_history(folder: Path, rows: list[dict]) -> None:
    """All measures so far, one row a line, and the same for TensorBoard."""
    write_text(folder / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    board = folder / "tensorboard"
    shutil.rmtree(board, ignore_errors=True)
    with tensorboardX.SummaryWriter(str(board)) as writer:
        for row in rows:
            for name, value in row.items():
                if isinstance(value, float):
                    writer.add_scalar(f"{row['stage']}/{name}", value, row["epoch"])
