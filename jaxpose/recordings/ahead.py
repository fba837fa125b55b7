"""Work that threads do ahead of its consumer, or behind its producer, with bounded memory."""

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


class Behind:
    """Calls a function in a thread of its own, in order, while the caller goes on."""

    def __init__(self, function: Callable[..., object], most: int = 16):
        """At most `most` calls wait; the next one waits for the oldest of them."""
        self._function, self._most = function, most
        self._pool, self._pending = ThreadPoolExecutor(1), collections.deque()

    def __call__(self, *arguments) -> None:
        """Has one more call made; raises the exception of an earlier one."""
        if len(self._pending) >= self._most:
            self._pending.popleft().result()
        self._pending.append(self._pool.submit(self._function, *arguments))

    def finish(self) -> None:
        """Waits for all calls; raises the exception of the first that failed."""
        while self._pending:
            self._pending.popleft().result()

    def close(self) -> None:
        """Ends the thread, without the calls that wait."""
        self._pool.shutdown(wait=True, cancel_futures=True)
