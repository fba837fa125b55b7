"""Jobs -> result files, one job after another, each `experiments.run` in a process of its own.

A job is locked while it is computed, so several workers on one plan compute each job once. So is
the detection net of a job until it is trained: meanwhile other workers take jobs with other ones,
or begin and wait for it where there are none. A job whose result file exists is finished; one that
was interrupted goes on from its last epoch.
"""

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from data_pipeline.locks import claimed, locked
from experiments.config import ConfigError
from experiments.study import costs, process, results
from experiments.study.jobs import Job
from experiments.study.plan import Data
from jaxpose.errors import ModelError

PORTABLE = {"NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR"}
"""Variables with which a seed gives the same infants on every x86 CPU with AVX2.

With AVX-512, NumPy's sines differ in their last bit, and contacts enlarge that to some pixels in
ten seconds. A NumPy that does not know one of the names ignores it."""


@dataclasses.dataclass(frozen=True)
class Workspace:
    """Where jobs are computed.

    Attributes:
      results: folder of the result files.
      runs: folder of the run folders, the shared detection nets, the logs and the locks.
      folders: name of a data set of the plan -> its files; simulated ones are created in `runs`.
      machine: further options of `experiments.run`, which do not belong to the recipe.
      pause: file; while it exists, nothing is computed.
    """

    results: Path
    runs: Path
    folders: dict[str, Path]
    machine: tuple[str, ...]
    pause: Path


@dataclasses.dataclass
class Progress:
    """What a worker has done so far.

    Attributes:
      estimated: name of a job -> its estimated seconds.
      computed: names of the jobs that this worker computed.
      failed: name of a job -> why it failed.
      seconds: time that the computed jobs took.
    """

    estimated: dict[str, float]
    computed: list[str] = dataclasses.field(default_factory=list)
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0

    def remaining(self, jobs: Sequence[Job]) -> float:
        """Estimates the seconds that jobs take; those computed so far correct the estimates."""
        expected = sum(self.estimated[name] for name in self.computed)
        factor = self.seconds / expected if expected else 1.0
        return factor * sum(self.estimated[job.name] for job in jobs)


def work(
    jobs: Sequence[Job], place: Workspace, estimated: dict[str, float], say: Callable = print
) -> Progress:
    """Computes all jobs that are not finished, and returns what was done.

    Jobs that another worker computes are left to it; at the end they are waited for, because that
    worker may be killed. A job that fails is reported and does not stop the others.
    """
    progress = Progress(estimated)
    place.results.mkdir(parents=True, exist_ok=True)
    while open_jobs := [job for job in jobs if is_open(job, place, progress)]:
        process.wait_while(place.pause)
        if any(attempt(job, place, progress, say) for job in open_jobs) or any(
            attempt(job, place, progress, say, untrained=True) for job in open_jobs
        ):
            report(jobs, place, progress, say)
        else:
            wait_for(open_jobs[0], place)
    return progress


def attempt(
    job: Job, place: Workspace, progress: Progress, say: Callable, *, untrained: bool = False
) -> bool:
    """Computes a job unless another worker computes it or trains its detection net.

    With `untrained`, the run itself waits for the detection net that another worker trains.

    Returns whether it was computed, or failed.
    """
    with claimed(lock_of(job, place)) as free:
        if not (free and is_open(job, place, progress)):
            return False
        with _detector(job, place) as available:
            if available or untrained:
                compute(job, place, progress, say)
                if job.name in progress.computed:
                    detector_of(job, place).touch()
                return True
            return False


def wait_for(job: Job, place: Workspace) -> None:
    """Waits until no other worker computes a job."""
    with locked(lock_of(job, place)):
        pass


def lock_of(job: Job, place: Workspace) -> Path:
    """Returns the path whose lock belongs to the worker that computes a job."""
    return place.runs / "jobs" / job.name


def detector_of(job: Job, place: Workspace) -> Path:
    """Returns the file that is there once a job's detection net was trained in this workspace.

    Its lock belongs to the worker that trains the net.
    """
    return place.runs / "jobs" / f"detector-{costs.detector_key(job)}"


@contextlib.contextmanager
def _detector(job: Job, place: Workspace) -> Iterator[bool]:
    """Tells whether a job's detection net is trained, or belongs to this worker meanwhile."""
    trained = detector_of(job, place)
    if trained.exists():
        yield True
        return
    with claimed(trained) as free:
        yield free


def is_open(job: Job, place: Workspace, progress: Progress) -> bool:
    """Tells whether a job is to be computed: it has no result, and did not fail here.

    A damaged result file, or one of another recipe, counts as a failure: it is not overwritten.
    """
    if job.name in progress.failed:
        return False
    try:
        return not results.stored(place.results, job)
    except ConfigError as error:
        progress.failed[job.name] = str(error)
        return False


def compute(job: Job, place: Workspace, progress: Progress, say: Callable) -> None:
    """Computes one job and writes its result file, or notes why it failed."""
    say(f"{job.name}: begins, about {progress.estimated[job.name] / 60:.0f} min")
    try:
        folder = data_folder(job.data, place)
        run_dir = place.runs / job.name
        command = [sys.executable, "-m", "experiments.run", *job.arguments(), *place.machine]
        command += [f"--data_dir={folder}", f"--cache_dir={place.runs / 'cache'}"]
        command += [f"--runs_dir={place.runs}", f"--name={job.name}"]
        seconds = process.run(command, place.runs / "logs" / f"{job.name}.txt", place.pause)
        results.write(place.results / f"{job.name}.json", results.collect(job, run_dir))
    except (process.Failed, ConfigError, ModelError, OSError, KeyError) as error:
        progress.failed[job.name] = str(error)
        say(f"{job.name}: failed: {error}")
        return
    progress.computed.append(job.name)
    progress.seconds += seconds


def report(jobs: Sequence[Job], place: Workspace, progress: Progress, say: Callable) -> None:
    """Says how many jobs are finished, and how long the others will take with one worker."""
    left = [job for job in jobs if is_open(job, place, progress)]
    finished = len(jobs) - len(left) - len(progress.failed)
    hours = progress.remaining(left) / 3600
    say(
        f"{finished} of {len(jobs)} jobs finished, {len(progress.failed)} failed; about "
        f"{hours:.1f} h left for one worker such as this"
    )


def data_folder(data: Data, place: Workspace) -> Path:
    """Returns the folder or file of a data set; simulates it first if it has a seed.

    Raises:
      ConfigError: the plan needs files that --folders does not name.
    """
    if data.name in place.folders:
        return place.folders[data.name]
    if data.seed is None:
        raise ConfigError(
            f"the data set {data.name!r} is not simulated; pass --folders {data.name}=FOLDER"
        )
    folder = place.runs / "data" / data.name
    command = [sys.executable, "-m", "data_pipeline.simulate", f"--out={folder}"]
    command += [f"--infants={data.infants}", f"--frames={data.frames}", f"--seed={data.seed}"]
    command += [f"--size={data.size[0]},{data.size[1]}"]
    log = place.runs / "logs" / f"data-{data.name}.txt"
    process.run(command, log, place.pause, **PORTABLE)
    return folder
