"""Training state <-> disk, whole or not at all: orbax, one checkpoint an epoch.

The newest is kept to resume from and the best to use. The rows of measures travel inside the
checkpoint, so weights and history cannot disagree after a kill.
"""

from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy


class Checkpoints:
    """The checkpoints of one training in one folder."""

    def __init__(self, folder: Path, *, highest: bool):
        """`highest`: whether the best checkpoint is the one with the highest measure."""
        kept = [
            preservation_policy.LatestN(1),
            preservation_policy.BestN(
                get_metric_fn=lambda measures: measures["rank"],
                n=1,
                keep_checkpoints_without_metrics=False,
            ),
        ]
        self._sign = 1.0 if highest else -1.0
        self._manager = ocp.CheckpointManager(
            Path(folder).absolute(),
            options=ocp.CheckpointManagerOptions(
                preservation_policy=preservation_policy.AnyPreservationPolicy(kept),
                best_fn=lambda measures: measures["rank"],
                enable_async_checkpointing=False,
                cleanup_tmp_directories=True,
            ),
        )

    def latest(self) -> int | None:
        """Epochs trained, or None before the first checkpoint."""
        return self._manager.latest_step()

    def best(self) -> int | None:
        return self._manager.best_step()

    def save(self, epoch: int, state: Any, history: list[dict], measure: float) -> None:
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state), history=ocp.args.JsonSave(history)
        )
        rank = self._sign * measure
        self._manager.save(epoch, args=items, metrics={"rank": rank}, force=True)

    def restore_latest(self, like: Any) -> tuple[Any, list[dict]]:
        """State and history; `like` has the shapes and types of the state."""
        items = ocp.args.Composite(
            state=ocp.args.StandardRestore(_abstract(like)), history=ocp.args.JsonRestore()
        )
        found = self._manager.restore(self.latest(), args=items)
        return found["state"], found["history"]

    def restore_best(self, like: Any) -> Any:
        items = ocp.args.Composite(state=ocp.args.StandardRestore(_abstract(like)))
        return self._manager.restore(self.best(), args=items)["state"]


def _abstract(tree: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)
