"""Training state <-> disk, whole or not at all: orbax, one checkpoint per epoch.

The newest checkpoint serves to resume, the best one to use. The rows of measures are inside the
checkpoint, so weights and history cannot disagree after a kill.
"""

import sys
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy


class CheckpointError(RuntimeError):
    """No checkpoint can be read: the message names the folder to delete, or to choose another."""


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

    def __init__(self, folder: Path, *, highest: bool):
        """`highest`: whether the best checkpoint is the one with the highest measure.

        Raises:
          CheckpointError: a folder that `check_folder` refuses.
        """
        check_folder(folder)
        policies = [
            preservation_policy.LatestN(1),
            preservation_policy.BestN(
                get_metric_fn=lambda measures: measures["rank"],
                n=1,
                keep_checkpoints_without_metrics=False,
            ),
        ]
        self._sign = 1.0 if highest else -1.0
        self._folder = Path(folder).absolute()
        self._manager = ocp.CheckpointManager(
            self._folder,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=preservation_policy.AnyPreservationPolicy(policies),
                best_fn=lambda measures: measures["rank"],
                enable_async_checkpointing=False,
                cleanup_tmp_directories=True,
            ),
        )

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
        """Epoch of the best checkpoint, or None before the first one."""
        return self._manager.best_step()

    def save(self, epoch: int, state: Any, history: list[dict], measure: float) -> None:
        """Writes a checkpoint: `history` has a row per epoch, `measure` ranks the checkpoint."""
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state), history=ocp.args.JsonSave(history)
        )
        rank = self._sign * measure
        self._manager.save(epoch, args=items, metrics={"rank": rank}, force=True)

    def restore_latest(self, like: Any) -> tuple[int, Any, list[dict]]:
        """Reads the newest checkpoint: epochs trained, state, history.

        `like` has the shapes and types of the state. A damaged checkpoint is deleted with a
        warning, and the one before is read: the training repeats the epochs between.

        Raises:
          CheckpointError: none of the checkpoints can be read.
        """
        items = ocp.args.Composite(
            state=ocp.args.StandardRestore(_abstract(like)), history=ocp.args.JsonRestore()
        )
        for epoch in sorted(self._manager.all_steps(), reverse=True):
            restored = self._restore(epoch, items)
            if restored is not None:
                return epoch, restored["state"], restored["history"]
            self._manager.delete(epoch)
        raise CheckpointError(
            f"{self._folder}: no checkpoint can be read; delete this folder to train this net again"
        )

    def restore_best(self, like: Any) -> Any:
        """Reads the state of the best checkpoint.

        Raises:
          CheckpointError: it is damaged.
        """
        items = ocp.args.Composite(state=ocp.args.StandardRestore(_abstract(like)))
        restored = self._restore(self.best(), items)
        if restored is None:
            raise CheckpointError(
                f"{self._folder / str(self.best())}: the best checkpoint is damaged; delete "
                f"{self._folder} to train this net again"
            )
        return restored["state"]

    def _restore(self, epoch: int, items) -> Any | None:
        """A checkpoint's items, or None with a warning if it is damaged."""
        try:
            return self._manager.restore(epoch, args=items)
        except Exception as error:  # what a damaged file raises depends on where it was cut
            reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
            print(
                f"warning: {self._folder / str(epoch)}: this checkpoint is damaged ({reason})",
                file=sys.stderr,
            )
            return None


def _abstract(tree: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)
