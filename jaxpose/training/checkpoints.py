"""Training state <-> disk, whole or not at all: orbax, one checkpoint per epoch.

The newest checkpoint serves to resume, the one before it takes its place if it is damaged, and the
best one is used. A record inside each checkpoint has the rows of measures, so weights and history
cannot disagree after a kill. The digests of its files are stored with it, so damage is never read
as weights.
"""

import contextlib
import logging
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from jaxpose.training import digests

RECENT = 2
"""Number of newest checkpoints on disk."""
RECORD = {"history", "ranks", "basis"}
"""Keys of a checkpoint's record."""


class CheckpointError(RuntimeError):
    """A checkpoint cannot be used. The message names the folder and what to do."""


class _Unreadable(Exception):
    """Why one checkpoint cannot be used."""


def check_folder(folder: Path) -> None:
    """Refuses a folder below which orbax cannot read what it has written.

    Raises:
      CheckpointError: the absolute path has "[" or a backslash, or is not UTF-8.
    """
    path = str(Path(folder).absolute())
    printable = path.encode(errors="backslashreplace").decode()
    if "[" in path or "\\" in path or printable != path:
        raise CheckpointError(
            f"{printable}: checkpoints cannot be read back from a path with '[', '\\' or bytes "
            "that are not UTF-8; choose another folder"
        )


class Checkpoints:
    """The checkpoints of one training in one folder; to be closed, or used in a `with`."""

    def __init__(self, folder: Path, *, highest: bool, basis: dict[str, str] | None = None):
        """`highest`: whether the best checkpoint is the one with the highest measure.

        `basis` has a digest of each thing that determines the training, by name, such as
        "configuration". Checkpoints that rest on others are refused.

        Raises:
          CheckpointError: a folder that `check_folder` refuses.
        """
        check_folder(folder)
        self._sign = 1.0 if highest else -1.0
        self._basis = basis or {}
        self._ranks: list[float] = []
        self._folder = Path(folder).absolute()
        options = ocp.CheckpointManagerOptions(
            enable_async_checkpointing=False, cleanup_tmp_directories=True
        )
        with _quiet():
            self._manager = ocp.CheckpointManager(self._folder, options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        """Ends orbax's threads."""
        self._manager.close()

    def latest(self) -> int | None:
        """Epochs trained, or None before the first checkpoint."""
        return self._manager.latest_step()

    def best(self) -> int | None:
        """Epoch with the best measure, the last one of several; None before `save` or
        `restore_latest`."""
        epochs = range(1, len(self._ranks) + 1)
        return max(epochs, key=lambda epoch: (self._ranks[epoch - 1], epoch), default=None)

    def save(self, epoch: int, state: Any, history: list[dict], measure: float) -> None:
        """Writes the checkpoint after `epoch` (from 1), and deletes those that nobody needs.

        `history` has a row per epoch, `measure` ranks the checkpoint.

        Raises:
          OSError: it cannot be written; those that exist remain.
        """
        ranks = [*self._ranks[: epoch - 1], self._sign * measure]
        record = {"history": history, "ranks": ranks, "basis": self._basis}
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state), record=ocp.args.JsonSave(record)
        )
        folder = self._folder / str(epoch)
        try:
            with _quiet():
                self._manager.save(epoch, args=items, force=True)
            digests.write(folder)
        except (OSError, ValueError) as error:  # TensorStore's errors are of type ValueError
            for part in self._folder.glob("*.orbax-checkpoint-tmp"):
                shutil.rmtree(part, ignore_errors=True)
            raise OSError(
                f"{folder}: this checkpoint cannot be written ({_reason(error)}); those of earlier "
                "epochs remain"
            ) from error
        self._ranks = ranks
        self._delete_others()

    def restore_latest(self, like: Any) -> tuple[int, Any, list[dict]]:
        """Reads the newest checkpoint: epochs trained, state, history.

        `like` has the shapes and types of the state. If the checkpoint is damaged, the one before
        is read, a warning says so, and the damaged one is deleted: the training repeats its epoch.

        Raises:
          CheckpointError: no checkpoint can be read, or it rests on another basis.
        """
        damaged: dict[int, str] = {}
        for epoch in sorted(self._manager.all_steps(), reverse=True):
            try:
                state, record = self._restore(epoch, like)
            except _Unreadable as reason:
                damaged[epoch] = str(reason)
                continue
            self._check_basis(record)
            for later, reason in damaged.items():
                place = self._folder / str(later)
                print(
                    f"warning: {place}: this checkpoint is damaged ({reason}); going on from "
                    f"epoch {epoch}",
                    file=sys.stderr,
                )
                self._manager.delete(later)
            self._ranks = record["ranks"]
            self._delete_others()
            return epoch, state, record["history"]
        raise CheckpointError(
            f"{self._folder}: no checkpoint can be read ({next(iter(damaged.values()), 'none')}); "
            "delete this folder to train this net again from epoch 1"
        )

    def restore_best(self, like: Any) -> Any:
        """Reads the state of the best checkpoint.

        Raises:
          CheckpointError: it is damaged or missing.
        """
        try:
            return self._restore(self.best(), like)[0]
        except _Unreadable as reason:
            raise CheckpointError(
                f"{self._folder / str(self.best())}: the best checkpoint is damaged ({reason}); "
                f"delete {self._folder} to train this net again from epoch 1"
            ) from None

    def _restore(self, epoch: int, like: Any) -> tuple[Any, dict]:
        """Reads the state and the record of a checkpoint; the only place that reads from orbax."""
        items = ocp.args.Composite(
            state=ocp.args.StandardRestore(_abstract(like)), record=ocp.args.JsonRestore()
        )
        if problem := digests.problem(self._folder / str(epoch)):
            raise _Unreadable(problem)
        try:
            with _quiet():
                restored = self._manager.restore(epoch, args=items)
        except Exception as error:  # what a damaged file raises depends on where it was cut
            raise _Unreadable(_reason(error)) from None
        state, record = restored["state"], restored["record"]
        if not isinstance(record, dict) or not record.keys() >= RECORD:
            raise _Unreadable("its record is incomplete")
        if len(record["history"]) != epoch or len(record["ranks"]) != epoch:
            raise _Unreadable(f"its record is not one of {epoch} epochs")
        return state, record

    def _check_basis(self, record: dict) -> None:
        """Raises `CheckpointError` if a checkpoint rests on another basis than this training."""
        names = record["basis"].keys() | self._basis.keys()
        other = [n for n in sorted(names) if record["basis"].get(n) != self._basis.get(n)]
        if other:
            raise CheckpointError(
                f"{self._folder}: these checkpoints were trained with another "
                f"{' and another '.join(other)}; delete this folder to train this net again from "
                "epoch 1, or choose another folder"
            )

    def _delete_others(self) -> None:
        """Deletes all checkpoints but the newest ones and the best one."""
        epochs = sorted(self._manager.all_steps())
        for epoch in epochs[:-RECENT]:
            if epoch != self.best():
                self._manager.delete(epoch)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Discards the log of orbax, which reports with a traceback what it raises, too."""
    logger = logging.getLogger("absl")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _reason(error: Exception) -> str:
    """Returns the first sentence of an error of orbax or TensorStore."""
    first = (str(error).splitlines() or [""])[0].split(". See full TensorStore")[0]
    if len(first) > 200:  # the reason of the system is last
        first = f"{first[:80]} ... {first[-100:]}"
    return first or type(error).__name__


def _abstract(tree: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)
