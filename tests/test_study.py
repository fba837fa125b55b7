"""The study's plan, jobs and runner: what is computed, once, and what becomes of a kill."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from test_resume import BRIEF, SMALL, made_up, start

from data_pipeline.examples.frames import save
from data_pipeline.locks import claimed
from experiments import machines
from experiments.config import ConfigError
from experiments.options import parse
from experiments.study import __main__ as study
from experiments.study import costs, process, results, runner, tuning, workers
from experiments.study.evidence import RESULTS
from experiments.study.jobs import jobs_of, recipe_of
from experiments.study.plan import read_plan
from jaxpose.body.skeleton import LIMBS

PLAN = """
[margins]
reference = "full"
primary = 0.1

[data.tiny]
dataset = "simulated"
infants = 6
frames = 12

[arms]
full = {{ variant = "full" }}
true_masks = {{ variant = "thin", "regression.input_masks" = "true", maps = "regression" }}

[[comparisons]]
ours = "true_masks"
theirs = "full"

[[parts]]
part = "a"
data = "tiny"
arms = ["full", "true_masks"]
seeds = [0]
folds = 3
only = [0, 1]
options = {{ {options} }}

[[parts]]
part = "b"
data = "tiny"
arms = ["full"]
seeds = [7]
setting = "other"
options = {{ {options} }}
"""
NAMES = [
    "a-tiny-full-seed0-fold0of3",
    "a-tiny-true_masks-seed0-fold0of3",
    "a-tiny-full-seed0-fold1of3",
    "a-tiny-true_masks-seed0-fold1of3",
    "b-tiny-full-other-seed7",
]


@pytest.fixture
def plan(tmp_path) -> Path:
    words = [option.removeprefix("--").partition("=") for option in (*SMALL, *BRIEF)]
    options = ", ".join(f'"{k}" = {json.dumps(v) if "x" in v else v}' for k, _, v in words)
    path = tmp_path / "tiny.toml"
    path.write_text(PLAN.format(options=options))
    return path


def changed(plan: Path, old: str, new: str) -> Path:
    assert old in plan.read_text()
    plan.write_text(plan.read_text().replace(old, new))
    return plan


# ---- the plan ----


def test_a_plan_lists_every_arm_seed_and_fold_of_its_parts_in_order(plan):
    jobs = jobs_of(read_plan(plan))
    assert [job.name for job in jobs] == NAMES
    assert jobs[1].own == ("maps", "regression.input_masks", "variant")
    assert (jobs[4].folds, jobs[4].fold, jobs[4].seed) == (None, None, 7)


def test_a_job_s_recipe_is_what_the_command_line_makes_of_its_options(plan):
    for path in (plan, study.PLAN, study.PLAN.with_name("tuning.toml")):
        for job in jobs_of(read_plan(path))[::11]:
            data = ["--data_dir=x"] if job.data.dataset != "simulated" else []
            assert parse([*job.arguments(), *data]).recipe.as_json() == job.recipe.as_json(), (
                job.name
            )


def test_the_plan_of_the_study_has_the_jobs_that_were_asked_for():
    jobs = jobs_of(read_plan(study.PLAN))
    count = {}
    for job in jobs:
        count[job.part, job.data.name] = count.get((job.part, job.data.name), 0) + 1
    assert (count["a", "simulated"], count["a", "utd_mhad"]) == (3 * 15, 3 * 6)
    assert {arm for job in jobs if job.part == "b" for arm in [job.arm]} >= {
        *("planar", "planar_shift", "r2plus1d", "asy_linear", "dwsep", "bottleneck"),
        *("detection_asy", "detection_planar", "true_masks"),
    }
    assert {part for part, _ in count} == set("abcdef")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('variant = "thin"', 'variant = "thn"', ["true_masks", "unknown variant 'thn'"]),
        ('"true_masks"]', '"tru"]', ["unknown arm 'tru'", "one of: full, true_masks"]),
        ('theirs = "full"', 'theirs = "fll"', ["unknown arm 'fll'"]),
        ('data = "tiny"', 'data = "tny"', ["unknown data set 'tny'", "one of: tiny"]),
        ("folds = 3", "fold = 3", ["fold"]),
        ("folds = 3", "folds = 2", ["--folds=2", "expected 3 or more"]),
        ("[margins]", "[margin]", ["margins"]),
        ("[margins]", "[margins", ["is not TOML"]),
        ("input_masks", "input_mask", ["regression.input_mask = 'true'", "not an option"]),
        ('setting = "other"', "", None),
    ],
)
def test_a_plan_that_cannot_be_used_is_refused_and_says_why(plan, old, new, words):
    changed(plan, old, new)
    if words is None:  # it can
        assert jobs_of(read_plan(plan))[-1].name == "b-tiny-full-seed7"
        return
    with pytest.raises(ConfigError) as error:
        jobs_of(read_plan(plan))
    for word in (str(plan), *words):
        assert word in str(error.value)


def test_options_of_the_whole_plan_are_replaced_by_a_part_s_and_those_by_an_arm_s(plan):
    usual = jobs_of(read_plan(plan))[-1].recipe
    text = '[recipe]\nmin_score = 0.25\nmaps = "regression"\n"detection.epochs" = 77\n'
    changed(plan, "[margins]", f"{text}[margins]")
    changed(plan, '{ variant = "full" }', '{ variant = "full", maps = "combined" }')
    recipe = jobs_of(read_plan(plan))[-1].recipe
    assert recipe.min_score == 0.25
    assert recipe.maps == "combined"
    assert recipe.detection.epochs == usual.detection.epochs != 77


@pytest.mark.parametrize("name", ["study", "study-tuning"])
def test_the_committed_results_have_the_recipes_of_the_plan(name):
    plan = study.PLAN.with_stem({"study": "plan", "study-tuning": "tuning"}[name])
    recipes = {job.name: job.recipe.hash for job in jobs_of(read_plan(plan))}
    found = {
        path.stem: json.loads(path.read_text())["recipe_hash"]
        for path in (RESULTS / name).glob("*.json")
    }
    assert found
    assert found == {job: recipes[job] for job in found}


def test_two_jobs_of_one_name_are_refused(plan):
    text = plan.read_text()
    plan.write_text(text + text[text.index("[[parts]]") : text.index('[[parts]]\npart = "b"')])
    with pytest.raises(ConfigError, match="two jobs are called a-tiny-full-seed0-fold0of3"):
        jobs_of(read_plan(plan))


def test_integers_of_toml_become_the_numbers_that_options_are():
    assert recipe_of({"radius": 3}).hash == recipe_of({"radius": 3.0}).hash


# ---- costs ----


def test_a_detection_net_is_paid_for_once_and_longer_jobs_cost_more(plan):
    jobs = {job.name: job for job in jobs_of(read_plan(study.PLAN))}
    seconds = costs.estimates(jobs.values())
    first, second = (
        seconds[f"a-simulated-{arm}-seed0-fold0of5"] for arm in ("full", "asy")
    )  # asy has the detection net of full
    alone = costs.estimate(jobs["a-simulated-asy-seed0-fold0of5"], with_detector=True)
    # 300 steps of 16 clips at 0.149 s, and validation
    assert 300 * 0.149 < alone - second < 1.5 * 300 * 0.149
    assert first > second
    assert seconds["e-simulated-asy-long-seed0-fold0of5"] > 3 * second


def test_the_measured_steps_that_the_estimates_were_fitted_to():
    # 206 and 214 ms at 8 clips (asy, full), 207 at 16 (detection): idle, 2 cores with AMX
    nets = costs.choices.nets(recipe_of({"variant": "asy"}))
    full = costs.choices.nets(recipe_of({"variant": "full"}))
    for net, clips, measured in (
        (nets["regression"], 8, 0.206),
        (full["regression"], 8, 0.214),
        (nets["detection"], 16, 0.207),
    ):
        cost = costs.net_cost(net.layers, (3, 48, 64))
        assert measured / 1.5 < costs.step_seconds(cost, clips) < 1.5 * measured


# ---- tuning ----


def test_the_rate_with_the_lowest_validation_error_over_all_folds_is_chosen(plan, tmp_path, capsys):
    changed(plan, 'setting = "other"', 'setting = "other"\nfolds = 3\nonly = [0, 1]')
    text = plan.read_text().replace("seeds = [7]", "seeds = [0]")
    head, low, high = text.split("[[parts]]")
    rates = ['"regression.learning_rate" = 1e-3, ', '"regression.learning_rate" = 1e-2, ']
    low, high = (
        part.replace("options = { ", "options = { " + rate)
        for part, rate in zip((low, high), rates, strict=True)
    )
    plan.write_text("[[parts]]".join([head, low.replace(', "true_masks"', ""), high]))
    folder = tmp_path / "results"
    folder.mkdir()
    command = [f"--plan={plan}", f"--results={folder}"]
    # best epochs: 0.3 and 0.1 at 1e-3, 0.15 and 0.15 at 1e-2
    histories = [[0.5, 0.3], [0.1, 0.4], [0.15, 0.2], [0.15, 0.9]]
    jobs = jobs_of(read_plan(plan))
    for job, errors in zip(jobs, histories, strict=True):
        history = {"detection": {}, "regression": {"val_error": errors}}
        results.write(folder / f"{job.name}.json", result_of(job, history=history))
    assert tuning.main(command) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["chosen"] == {"full": 0.01}
    assert "| full | 0.20000 | 0.15000 | 0.01 |" in printed.err
    second = folder / f"{jobs[1].name}.json"
    second.write_text(json.dumps(json.loads(second.read_text()) | {"data_hash": "another"}))
    assert tuning.main(command) == 2
    error = capsys.readouterr().err
    assert f"{jobs[1].name} was trained on other data than {jobs[0].name}; delete" in error
    second.unlink()  # the good fold of 1e-3
    assert tuning.main(command) == 2
    assert f"has no {jobs[1].name}.json; finish the tuning plan first" in capsys.readouterr().err


def test_rates_can_be_chosen_for_the_arms_that_are_complete(plan, tmp_path, capsys):
    folder = tmp_path / "results"
    folder.mkdir()
    for job in jobs_of(read_plan(plan)):
        if job.arm == "full":
            result = result_of(job, data_hash="d")
            result["history"]["regression"]["val_error"] = [0.5, 0.25]
            (folder / f"{job.name}.json").write_text(json.dumps(result))
    command = [f"--plan={plan}", f"--results={folder}"]
    assert tuning.main([*command, "--arms=full"]) == 0
    assert json.loads(capsys.readouterr().out)["errors"] == {"full": {"0.003": 0.25}}
    assert tuning.main([*command, "--arms=full,true_masks"]) == 2
    assert tuning.main([*command, "--arms=ful"]) == 2
    assert "unknown arm 'ful'; one of: full, true_masks" in capsys.readouterr().err


# ---- the runner, with jobs that compute nothing ----


@pytest.fixture
def place(tmp_path) -> runner.Workspace:
    return runner.Workspace(
        results=tmp_path / "results",
        runs=tmp_path / "runs",
        folders={"tiny": tmp_path / "frames.npz"},
        machine=("--lowering=folded",),
        pause=tmp_path / "runs" / "pause",
    )


def result_of(job, **more) -> dict:
    """What `results.collect` returns, as far as reading needs it."""
    return {
        **dict.fromkeys(results.NEEDED),
        "job": job.name,
        "own_options": [*job.own],
        "recipe": {},
        "recipe_hash": job.recipe.hash,
        "numerics": results.NUMERICS,
        "history": {"detection": {}, "regression": {}},
        "infants": {
            "id": ["1"],
            **dict.fromkeys(("frames", "visible_joints", "missed_joints"), [1]),
            "rmsd_fallback_px": dict.fromkeys(("all", *LIMBS), [1.0]),
        },
        **more,
    }


@pytest.fixture
def computed(monkeypatch) -> list[str]:
    """Names of the jobs that were computed, instead of computing them."""
    names = []

    def run(command, log, pause, **environment):
        name = log.stem
        time.sleep(random.uniform(0.0, 0.02))
        names.append(name)
        if "true_masks" in name and "fold1" in name:
            raise process.Failed("exit code 1: no luck")
        return 2.0

    monkeypatch.setattr(process, "run", run)
    monkeypatch.setattr(results, "collect", lambda job, folder: result_of(job))
    return names


def work(plan: Path, place: runner.Workspace) -> tuple[runner.Progress, list[str]]:
    jobs, said = jobs_of(read_plan(plan)), []
    return runner.work(jobs, place, costs.estimates(jobs), said.append), said


def test_finished_jobs_are_skipped_and_a_failed_one_does_not_stop_the_rest(plan, place, computed):
    progress, said = work(plan, place)
    assert computed == NAMES and progress.computed == [NAMES[k] for k in (0, 1, 2, 4)]
    assert progress.failed == {NAMES[3]: "exit code 1: no luck"}
    assert (
        "4 of 5 jobs finished, 1 failed; about 0.0 h left for one worker such as this" in said[-1]
    )
    computed.clear()
    again, _ = work(plan, place)
    assert computed == [NAMES[3]] and again.computed == []  # it is tried again


def test_several_workers_compute_each_job_once(plan, place, computed):
    changed(plan, "seeds = [0]", "seeds = [0, 1, 2, 3, 4]")
    workers = [threading.Thread(target=work, args=(plan, place)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    jobs = {job.name for job in jobs_of(read_plan(plan))}
    failing = {name for name in jobs if "true_masks" in name and "fold1" in name}
    assert len(jobs) == 21 and set(computed) == jobs
    assert sorted(name for name in computed if name not in failing) == sorted(jobs - failing)


def test_a_worker_waits_for_a_job_of_another_and_takes_it_over_if_that_one_dies(
    plan, place, computed
):
    first = jobs_of(read_plan(plan))[0]
    with claimed(runner.lock_of(first, place)) as free:
        assert free
        worker = threading.Thread(target=work, args=(plan, place))
        worker.start()
        deadline = time.monotonic() + 20
        while len(computed) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert sorted(computed) == sorted(NAMES[1:])
    worker.join(20)  # the lock is free now, and there is no result
    assert sorted(computed) == sorted(NAMES)


def test_jobs_whose_detection_net_another_worker_trains_come_last_and_wait_for_it_themselves(
    plan, place, computed
):
    jobs = jobs_of(read_plan(plan))
    first, same_net = jobs[:2]
    assert runner.detector_of(first, place) == runner.detector_of(same_net, place)
    with claimed(runner.detector_of(first, place)):
        work(plan, place)
        assert computed == [*NAMES[2:], *NAMES[:2]]  # the runs of fold 0 wait for its net
    computed.clear()
    assert runner.detector_of(first, place).exists()
    with claimed(runner.detector_of(first, place)):  # once trained, a net can be used by several
        for name in (NAMES[0], NAMES[2]):
            (place.results / f"{name}.json").unlink()
        assert work(plan, place)[0].computed == [NAMES[0], NAMES[2]]


def test_a_seed_and_fold_is_complete_for_every_net_before_the_next_one_begins():
    part = [job for job in jobs_of(read_plan(study.PLAN)) if job.name.startswith("a-simulated")]
    triples = [part[k : k + 3] for k in range(0, len(part), 3)]
    assert len(triples) == 15
    for triple in triples:
        assert [job.arm for job in triple] == ["full", "asy", "thin"]
        assert len({(job.seed, job.recipe.fold) for job in triple}) == 1


# ---- several workers ----


@pytest.mark.parametrize(
    ("count", "shares"), [(1, [[2, 3, 7]]), (2, [[2, 3], [7]]), (3, [[2], [3], [7]])]
)
def test_workers_share_the_cores(count, shares):
    assert workers.share_out([2, 3, 7], count) == shares


@pytest.mark.parametrize("count", [0, 4])
def test_more_workers_than_cores_are_refused(count):
    with pytest.raises(ConfigError, match=f"--workers={count}: expected 1 to 3"):
        workers.share_out([2, 3, 7], count)


def test_a_worker_has_its_core_alone_and_a_thread_for_it(tmp_path):
    core = machines.cores()[-1]
    code = "import os; print(os.sched_getaffinity(0), os.environ['OMP_NUM_THREADS'])"
    process = workers.start([sys.executable, "-c", code], [core])
    assert process.communicate()[0].split("\n")[0] == f"{{{core}}} 1"


def test_two_workers_are_summarised_together_and_what_one_failed_at_the_other_may_compute(
    plan, place, capsys, monkeypatch
):
    place.results.mkdir()
    for job in jobs_of(read_plan(plan))[:4]:
        results.write(place.results / f"{job.name}.json", result_of(job))
    summaries = [
        {"computed": NAMES[:1], "failed": {NAMES[1]: "no memory", NAMES[4]: "no luck"}},
        {"computed": NAMES[1:4], "failed": {}},
    ]
    commands = []
    monkeypatch.setattr(workers, "run", lambda *a: commands.append(a) or summaries)
    options = [f"--plan={plan}", f"--results={place.results}", f"--runs_dir={place.runs}"]
    options += ["--parts=a,b", "--folders", "tiny=x", "--machine", "lowering=folded"]
    assert study.main([*options, "--workers=2"]) == 1
    summary = json.loads(capsys.readouterr().out)
    assert summary["finished"] == 4 and summary["failed"] == {NAMES[4]: "no luck"}
    assert sorted(summary["computed"]) == sorted(NAMES[:4])
    ((arguments, count),) = commands
    assert count == 2 and sorted(arguments) == sorted(options)


def test_the_time_left_follows_what_jobs_really_took(plan):
    jobs = jobs_of(read_plan(plan))
    progress = runner.Progress({job.name: 100.0 for job in jobs})
    assert progress.remaining(jobs) == 500.0
    progress.computed, progress.seconds = [jobs[0].name], 250.0
    assert progress.remaining(jobs[1:]) == 1000.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", ["is not JSON", "restore or delete it"]),
        ("[]", ["no result of a job"]),
        (json.dumps({"job": NAMES[0]}), ["has no 'arm'"]),
        (None, ["has recipe 123", "delete it to compute the job again"]),
    ],
)
def test_a_result_file_that_is_not_the_job_s_is_named_and_stays(plan, place, computed, text, words):
    path = place.results / f"{NAMES[0]}.json"
    place.results.mkdir()
    job = jobs_of(read_plan(plan))[0]
    path.write_text(text or json.dumps(result_of(job, recipe_hash="123")))
    before = path.read_text()
    progress, _ = work(plan, place)
    assert path.read_text() == before and NAMES[0] not in computed
    for word in (str(path), *words):
        assert word in progress.failed[NAMES[0]]


def test_numbers_are_shortened_wherever_they_are():
    value = {"a": {"mean": 1.23456789, "n": 3, "median": None}, "b": 123456.7}
    assert results.shortened(value) == {"a": {"mean": 1.2346, "n": 3, "median": None}, "b": 123460}


def test_results_of_older_numerics_are_refused(plan, place):
    job = jobs_of(read_plan(plan))[0]
    place.results.mkdir()
    results.write(place.results / f"{job.name}.json", result_of(job, numerics=0))
    with pytest.raises(ConfigError, match="has NUMERICS 0"):
        results.stored(place.results, job)


def test_files_that_are_not_simulated_must_be_named(plan, place):
    data = jobs_of(read_plan(plan))[0].data
    with pytest.raises(ConfigError, match="pass --folders tiny=FOLDER"):
        runner.data_folder(data, dataclasses.replace(place, folders={}))


# ---- processes ----


def test_a_paused_process_stands_still_and_its_pause_does_not_count(tmp_path):
    pause, log = tmp_path / "pause", tmp_path / "logs" / "log.txt"
    code = "import time\nfor k in range(40):\n  print(k, flush=True)\n  time.sleep(0.05)"
    seconds = []
    worker = threading.Thread(
        target=lambda: seconds.append(process.run([sys.executable, "-c", code], log, pause))
    )
    worker.start()
    while not log.exists() or not log.read_text():
        time.sleep(0.01)
    pause.touch()
    time.sleep(3 * process.POLL_S)
    stood = log.read_text()
    time.sleep(2.0)
    assert log.read_text() == stood and "39" not in stood.split()
    pause.unlink()
    worker.join(30)
    assert log.read_text().split()[-1] == "39"
    assert seconds[0] < 4.0  # 2 s of work, 3.5 s of standing still


def test_a_process_that_fails_is_reported_with_its_last_line_and_its_log(tmp_path):
    command = [sys.executable, "-c", "import sys; print('so it goes'); sys.exit(3)"]
    with pytest.raises(process.Failed, match=r"exit code 3: so it goes \(see .*log\.txt\)"):
        process.run(command, tmp_path / "log.txt", tmp_path / "pause")


def test_an_interrupt_ends_the_command_too(tmp_path):
    def interrupt(number, frame):
        raise KeyboardInterrupt

    command = [
        sys.executable,
        "-c",
        "import os, time; print(os.getpid(), flush=True); time.sleep(99)",
    ]
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 3.0)
        with pytest.raises(KeyboardInterrupt):
            process.run(command, tmp_path / "log.txt", tmp_path / "pause")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not psutil.pid_exists(int((tmp_path / "log.txt").read_text()))


# ---- the command ----


def test_a_dry_run_lists_the_jobs_and_computes_nothing(plan, tmp_path, capsys):
    place = [f"--plan={plan}", f"--results={tmp_path / 'results'}", f"--runs_dir={tmp_path}"]
    assert study.main([*place, "--dry_run"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert [row["job"] for row in output["jobs"]] == NAMES
    assert output["estimated_seconds"] == pytest.approx(
        sum(row["seconds"] for row in output["jobs"]), abs=3
    )
    assert study.main([*place, "--dry_run", "--parts=b"]) == 0
    assert [row["job"] for row in json.loads(capsys.readouterr().out)["jobs"]] == NAMES[4:]
    assert study.main([*place, "--dry_run", "--parts=c"]) == 2
    assert "--parts: no part 'c'; one of: a, b" in capsys.readouterr().err
    assert study.main([*place, "--folders", "tiny"]) == 2
    assert "--folders tiny: expected NAME=VALUE" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def killed_and_finished(command: list, base: Path, kills: int, seed: int) -> None:
    """Runs a command to its end; kills it and its processes at random moments before that."""
    moments = random.Random(seed)
    for _ in range(kills):
        worker = subprocess.Popen(
            **start(command, base, "-m experiments.study"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            worker.wait(moments.uniform(5, 25))
        except subprocess.TimeoutExpired:
            for one in [*psutil.Process(worker.pid).children(recursive=True), worker]:
                one.kill()
            worker.wait()
    done = subprocess.run(**start(command, base, "-m experiments.study"), capture_output=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1])["finished"] == 5


def without_measurements(folder: Path) -> dict[str, list[str]]:
    """Lines of every result file but what was measured."""
    return {
        path.name: [
            line for line in path.read_text().splitlines()
            if not line.startswith(f'"{results.MEASURED}"')
        ]
        for path in folder.glob("*.json")
    }  # fmt: skip


@pytest.mark.slow
def test_a_plan_killed_at_random_ends_with_the_same_files_byte_for_byte(plan, tmp_path):
    save(made_up(), tmp_path / "frames.npz")
    command = [f"--plan={plan}", "--folders", f"tiny={tmp_path / 'frames.npz'}"]
    folders = []
    for name, kills in (("whole", 0), ("killed", 2)):
        folder = tmp_path / name
        place = [f"--results={folder / 'results'}", f"--runs_dir={folder / 'runs'}"]
        killed_and_finished([*command, *place], tmp_path, kills, seed=os.getpid())
        folders.append(folder / "results")
    expected, actual = map(without_measurements, folders)
    assert len(expected) == 5 and actual == expected
    # what a comparison of two arms relies on
    first, second = (results.read(folders[0] / f"{NAMES[k]}.json") for k in (0, 1))
    for key in ("data_hash", "split_hash", "detector_hash"):
        assert first[key] == second[key], key
    other = results.read(folders[0] / f"{NAMES[2]}.json")
    assert other["split_hash"] != first["split_hash"]
    assert other["detector_hash"] != first["detector_hash"]
    assert first["data_hash"] == other["data_hash"]
    infants = first["infants"]
    assert infants["id"] == ["1", "4"] and len(infants["rmsd_fallback_px"]["all"]) == 2
    mean = np.mean(infants["rmsd_fallback_px"]["all"])  # 12 frames of 4 limbs each
    assert mean == pytest.approx(first["errors"]["rmsd_fallback_px"]["all"]["mean"], abs=2e-3)
    assert max(path.stat().st_size for path in folders[0].glob("*.json")) < 12_000
