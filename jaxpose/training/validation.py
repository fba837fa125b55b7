"""Validation batches -> the mean of every measure over all clips, after each epoch."""

from collections.abc import Callable, Iterator

import jax
import numpy as np

from jaxpose.nets.compute import fill_up
from jaxpose.training.step import Batch, Weights

KEPT_BYTES = 512 * 2**20
"""Largest size of all validation batches together that stay in the host's memory."""


class Validation:
    """The validation batches of one training, which are the same in every epoch.

    They are filled up to one number of clips and prepared, and kept where they fit into
    `KEPT_BYTES`; otherwise every epoch reads and prepares them anew.
    """

    def __init__(
        self,
        batches: Callable[[], Iterator[Batch]],
        prepare: Callable[[Batch], Batch] = lambda batch: batch,
    ):
        """Reads nothing yet. `prepare` computes what does not depend on the weights in training."""
        self._batches, self._prepare = batches, prepare
        self._kept: list[tuple[int, Batch]] | None = None
        self._fit = True

    def __iter__(self) -> Iterator[tuple[int, Batch]]:
        """Yields each batch behind its number of clips; those after them fill it up.

        A smaller last batch is filled up, so that one shape is compiled.
        """
        if self._kept is not None:
            yield from self._kept
            return
        kept, size, total = [], 0, 0
        for batch in self._batches():
            count = len(batch["depth"])
            size = max(size, count)
            filled = {name: fill_up(array, size) for name, array in batch.items()}
            ready = jax.device_get(self._prepare(filled))
            total += sum(array.nbytes for array in ready.values())
            if self._fit and total <= KEPT_BYTES:
                kept.append((count, ready))
            else:
                self._fit = False
                kept.clear()
            yield count, ready
        if self._fit:
            self._kept = kept

    def first(self) -> Batch:
        """Returns the first batch."""
        return next(iter(self))[1]


def mean_over_clips(score, weights: Weights, frozen, validation: Validation) -> dict[str, float]:
    """Returns each measure's mean over all clips; what fills a batch up does not count."""
    values = []
    for count, batch in validation:
        scores = score(weights, frozen, batch)
        values.append({name: np.asarray(value)[:count] for name, value in scores.items()})
    joined = {name: np.concatenate([v[name] for v in values]) for name in values[0]}
    return {name: float(np.mean(value, dtype=np.float64)) for name, value in joined.items()}
