"""Times in several settings: the command's settings, its file, and the tables made of it."""

import json

import pytest

from experiments.bench.options import Options as BenchOptions
from experiments.bench.options import label, plan
from experiments.blocks import times
from experiments.config import ConfigError
from experiments.study import quality, timing
from experiments.study.groups import Group
from jaxpose.options import parse


def result(median: float, **changes) -> dict:
    """What a benchmark returns, as far as a setting keeps it.

    Every net takes as long, both in a row twice as long, a recorded program half as long."""

    def row(net, variant, what, batch, implementation, median_ms):
        names = {"net": net, "variant": variant, "what": what, "batch": batch}
        names |= {"implementation": implementation, "median_ms": median_ms, "lowering": "onednn"}
        return dict.fromkeys(timing.COLUMNS) | names | {"compile_s": 1.5, "xla_temporary_mb": 12.3}

    nets = [*(("regression", net) for net in timing.NETS), ("detection", "")]
    rows = [
        row(*net, what, batch, "jaxpose", median)
        for net in nets
        for what, batch in (("forward", 1), ("forward", 16), ("train_step", 8))
    ]
    rows += [row(*net, "forward", 1, "jaxpose_program", median / 2) for net in nets]
    rows += [row("pipeline", net, "forward", 1, "jaxpose", 2 * median) for net in timing.NETS]
    facts = dict.fromkeys(timing.SHARED) | {"isa": "AVX2", "loaded": False}
    return {**facts, "rows": rows, "ratios": [], "visits": [1, 2, 3], **changes}


def test_every_setting_is_a_benchmark_that_can_be_planned(tmp_path):
    labels = set()
    for setting in timing.SETTINGS:
        words = timing.command(setting, timing.Options(), tmp_path)[3:]
        options = parse(BenchOptions, words, "experiments.bench")
        cases = plan(options)[0].cases
        assert {case.variant for case in cases} == {*timing.NETS, ""}
        assert {case.net for case in cases} == {"detection", "regression", "pipeline"}
        assert {case.implementation for case in cases} == {"jaxpose", "jaxpose_program"}
        whats = {(case.what, case.batch) for case in cases if case.what == "forward"}
        assert whats == {("forward", 1), ("forward", 16)}
        assert any(case.what == "train_step" for case in cases)
        labels.add((label(options), setting.threads, setting.isa, options.precisions))
    assert len(labels) == len(timing.SETTINGS)  # no two measure the same


def test_a_width_changes_the_nets_and_the_name_of_the_result():
    options = BenchOptions(width=0.5, clip="5,48,64")
    assert label(options) == "default-5x48x64-width0.5" and plan(options)[0].size.width == 0.5
    with pytest.raises(ConfigError, match="--width=0: expected a number above 0"):
        plan(BenchOptions(width=0.0))


def test_settings_that_are_measured_are_not_measured_again(tmp_path, monkeypatch, capsys):
    measured = []

    def measure(setting, options):
        measured.append(setting.name)
        if len(measured) == 3:
            raise KeyboardInterrupt
        return timing.kept(result(2.0))

    monkeypatch.setattr(timing, "measure", measure)
    assert timing.main([f"--out={tmp_path}"]) == 130
    names = [setting.name for setting in timing.SETTINGS]
    assert timing.main([f"--out={tmp_path}", "--dry_run"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (summary["measured"], summary["open"]) == (names[:2], names[2:])
    assert timing.main([f"--out={tmp_path}"]) == 0
    assert measured == [*names[:3], *names[2:]]
    stored = json.loads(timing.path_of(tmp_path).read_text())
    assert list(stored["settings"]) == names and "visits" not in stored["settings"][names[0]]


@pytest.mark.parametrize("text", ["{", "[]", '{"settings": []}'])
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / "times-x.json").write_text(text)
    with pytest.raises(ConfigError, match="times-x.json: is no result of experiments.study.timing"):
        timing.load(tmp_path / "times-x.json")


def test_a_setting_has_a_row_per_net_once_measured_and_a_blank_one_before(tmp_path, monkeypatch):
    (tmp_path / "experiments" / "results").mkdir(parents=True)
    monkeypatch.setattr(times, "ROOT", tmp_path)
    blank = [line for line in times.cost_times([]).splitlines() if line.startswith("| ")]
    assert len(blank) == 2 + 1 + len(timing.SETTINGS)
    assert all(set(line.split("|")[2:-1]) == {"  "} for line in blank[2:])
    first = timing.SETTINGS[0].name
    value = {"cpu": "a CPU", "cores": 2, "settings": {first: timing.kept(result(100.0))}}
    path = tmp_path / "experiments" / "results" / "times-a_CPU.json"
    path.write_text(json.dumps(value))
    text = times.cost_times([])
    # 1,200 steps of 100 ms are two minutes
    assert f"| {first} (AVX2): asy | 50 | 100 | 100 (8 clips) | 2.0 | 1.5 | 12 |" in text
    assert "| detection | 50 | 100 | 100 (8 clips) | 2.0 | 1.5 | 12 |" in text
    assert "| detection + asy | 200 |  |  |  |  |  |" in text
    assert text.count("\n| ") == len(blank) - 1 + 6


def test_a_limit_of_the_instruction_set_is_one_for_onednn_and_for_xla(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=x")
    assert timing.limited(None) == {}
    assert timing.limited("AVX512_CORE") == {
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE",
        "XLA_FLAGS": "--xla_dump_to=x --xla_cpu_max_isa=AVX512",
    }
    limits = {setting.isa for setting in timing.SETTINGS} - {None}
    assert limits == {*timing.ISAS}


def training(values: list[float], cpu: str = "a CPU") -> dict:
    recipe = {"variant": "asy", "regression": {"steps_per_epoch": 30}}
    history = {"regression": {quality.MEASURE: values}}
    return {"recipe": recipe, "history": history, "cpu": cpu, "cores": 2}


def test_the_time_to_an_error_is_epochs_times_steps_times_the_benchmarked_step():
    assert quality.epochs_to({quality.MEASURE: [0.9, 0.6, 0.7]}) == 2
    assert quality.epochs_to({quality.MEASURE: [0.9, 0.61]}) is None
    trainings = {(0, 0): training([0.9, 0.5]), (0, 1): training([0.9, 0.9, 0.9, 0.5])}
    group = Group({"asy": trainings}, {"asy": tuple(trainings)})
    # 3 epochs of 30 steps of 200 ms: 18 s
    assert quality.rows(group, {"asy": 200.0}) == [["asy", "2 of 2", "2 to 4", "3", "0.3"]]
    assert quality.rows(group, {})[0][-1] == ""
    trainings[0, 2] = training([0.9])  # one never gets there: no median, no time
    assert quality.rows(group, {"asy": 200.0}) == [["asy", "2 of 3", "2 to 4", "", ""]]


def test_steps_are_those_of_the_trainings_machine_and_number_of_cores(tmp_path, monkeypatch):
    (tmp_path / "experiments" / "results").mkdir(parents=True)
    monkeypatch.setattr(times, "ROOT", tmp_path)
    names = [timing.SETTINGS[0].name, next(s.name for s in timing.SETTINGS if s.threads == 1)]
    settings = {
        name: timing.kept(result(ms)) for name, ms in zip(names, (100.0, 170.0), strict=True)
    }
    path = tmp_path / "experiments" / "results" / "times-a_CPU.json"
    path.write_text(json.dumps({"cpu": "a CPU", "cores": 2, "settings": settings}))
    two, one = training([0.5]), training([0.5]) | {"cores": 1}
    assert times._steps_ms({"asy": {(0, 0): two}})["asy"] == 100.0
    assert times._steps_ms({"asy": {(0, 0): one}})["asy"] == 170.0
    assert times._steps_ms({"asy": {(0, 0): two}, "full": {(0, 0): one}}) == {}
    assert times._steps_ms({"asy": {(0, 0): training([0.5], "another")}}) == {}
