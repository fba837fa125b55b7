"""Jobs -> several processes that simulate one recording each, and one progress bar for all."""

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent import futures

import cv2
from tqdm import tqdm


def spread(work: Callable, jobs: list, processes: int | None, bar: tqdm) -> None:
    """Calls `work(job, tick)` for each job; every `tick()` advances `bar` by one.

    `processes` is one per core by default. The first error cancels the other jobs and is raised.
    """
    context = multiprocessing.get_context("spawn")
    done = context.Value("q", 0)
    workers = min(processes or _cores(), len(jobs))
    start = bar.n
    with futures.ProcessPoolExecutor(workers, context, _initialise, (done,)) as pool:
        running = [pool.submit(_counted, work, job) for job in jobs]
        try:
            waiting = running
            while waiting:
                finished, waiting = futures.wait(running, 0.2, futures.FIRST_EXCEPTION)
                bar.update(start + done.value - bar.n)
                for future in finished:
                    future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _initialise(done) -> None:
    global _done
    _done = done
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this worker when its parent was killed; it would write into the next run's folder."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _counted(work: Callable, job) -> None:
    def tick() -> None:
        with _done.get_lock():
            _done.value += 1

    work(job, tick)
