"""Work that threads do ahead of its consumer, in order and with bounded memory."""

import collections
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")

THREADS = min(4, os.cpu_count() or 1)
"""Threads that decode images; OpenCV and zlib let them run side by side."""


def map_ahead(function: Callable[[T], U], items: Iterable[T], threads: int) -> Iterator[U]:
    """Yields `map(function, items)`, computed by `threads` threads while the consumer works.

    Results come in the order of `items`, at most `2 * threads` exist at a time. An exception is
    raised where its result would have come. With one thread, the consumer's own computes.
    """
    if threads < 2:
        yield from map(function, items)
        return
    pending = collections.deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) == 2 * threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
