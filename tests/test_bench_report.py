"""The benchmark's report: ratios, targets, predictions, and its texts."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.bench import __main__ as bench
from experiments.bench import machine, render, report, targets
from experiments.bench.cases import SIZES, Case
from experiments.bench.comparisons import comparisons
from experiments.bench.expected import PREDICTIONS
from experiments.bench.measured import Measured
from experiments.bench.processes import without_slow
from experiments.bench.protocol import PROTOCOLS
from jaxpose.cost.timing import Visit

LOWERING = {"jaxpose": "folded", "jax_conv3d": "conv3d"}
NAME = "regression {} forward 1 {} float32".format


def measured(**seconds: float | tuple[float, ...]) -> tuple[list[Case], Measured]:
    """Visits in one process; seconds by implementation, the same in two blocks or one per block.
    `full` takes twice as long as `asy`."""
    results = Measured(bytes_per_s=1e10, processes=1)
    results.add_ceilings({"float32": {"numpy": 1e11}}, 1e10)
    results.device = {"device": "cpu", "platform": "cpu"}
    chosen = []
    for variant, factor in (("asy", 1), ("full", 2)):
        for name, values in seconds.items():
            lowering = LOWERING.get(name, "")
            case = Case("regression", variant, "forward", 1, name, lowering, "float32")
            blocks = values if isinstance(values, tuple) else (values, values)
            results.visits += [
                Visit(case.name, 0, b, 0, False, (factor * s,)) for b, s in enumerate(blocks)
            ]
            results.facts[case.name] = {"compile_s": 1.0, "call_s": factor * blocks[0]}
            chosen.append(case)
    return chosen, results


def reported(loads: float = 0.0, **seconds: float | tuple[float, ...]) -> dict:
    chosen, results = measured(**seconds)
    facts = {"size": "paper", "protocol": "default", "seed": 0, "processes": 1, "seconds": 1.0}
    facts |= {"commit": "0123456789ab", "dirty": False}
    facts["load_before"] = {"busy_cores": loads, "stolen_cores": 0.0, "load_1min": loads}
    result = report.result(chosen, results, SIZES["paper"], facts, {})
    result["versions"]["torch"] = "2.13.0+cpu"  # rows are of it; it need not be installed
    result["isa"] = "AVX2"  # whatever this machine has
    return result


def test_the_opponent_is_chosen_in_other_blocks_than_those_in_which_it_is_compared():
    # in even blocks eager is the faster one, 1.1 s, in odd ones compiled, 1.5 s
    result = reported(
        jaxpose=(1.0, 1.0, 1.0, 1.0),
        torch_eager=(1.1, 9.0, 1.1, 9.0),
        torch_compile=(1.6, 1.5, 1.6, 1.5),
    )
    names = [NAME("asy", peer) for peer in ("torch_eager", "torch_compile")]
    ours = NAME("asy", "jaxpose folded")
    [both] = [r for r in result["ratios"] if r.get("among") == names]
    (bar, _) = result["bars"]
    for ratio in (both, bar):
        assert ratio["chosen"] == [[ours, names[0]], [ours, names[1]]]
        # 9 in the odd blocks, by the choice in the even ones, and 1.6 in the even ones
        assert ratio["speedup"] == pytest.approx((9 * 1.6) ** 0.5, abs=1e-4)
    single = {r["over"]: r["speedup"] for r in result["ratios"] if "chosen" not in r}
    assert single[names[0]] == pytest.approx((1.1 * 9) ** 0.5, abs=1e-4)
    assert f"{both['over']}, the best of 2 | 3.79 |" in render.as_markdown(result)


def test_our_side_is_chosen_in_the_other_blocks_too():
    def visits_of(implementation, *seconds):
        lowering = "" if implementation == "openvino" else "onednn"
        case = Case("detection", "", "forward", 1, implementation, lowering, "float32")
        visits[case.name] = [Visit(case.name, 0, b, 0, False, (s,)) for b, s in enumerate(seconds)]
        return case

    visits: dict[str, list[Visit]] = {}
    chosen = [
        visits_of("jaxpose", 1.0, 3.0, 1.0, 3.0),
        visits_of("jaxpose_program", 2.0, 2.0, 2.0, 2.0),
        visits_of("openvino", 6.0, 6.0, 6.0, 6.0),
    ]
    [bar] = targets.bars(chosen, visits, "paper", None)
    assert bar["candidates"] == [case.name for case in chosen[:2]]
    assert [of for of, _ in bar["chosen"]] == bar["candidates"]
    assert bar["speedup"] == pytest.approx(6**0.5, abs=1e-4)  # 6 / 3 and 6 / 2


def test_bars_take_our_fastest_lowering_over_the_best_peer():
    result = reported(jaxpose=0.4, jax_conv3d=1.0, openvino=0.5, torch_compile=0.6)
    first, second = result["bars"]
    assert first["over"] == NAME("asy", "openvino")
    assert (first["speedup"], first["met"]) == (1.25, "aim")
    assert reported(jaxpose=0.5, torch_eager=0.5)["bars"][0]["met"] == "must"
    assert reported(jaxpose=0.6, torch_eager=0.5)["bars"][0]["met"] == "missed"


def test_bfloat16_is_compared_with_the_best_peer_in_bfloat16_and_in_training_with_float32():
    def timed(what, batch, implementation, dtype, seconds):
        lowering = "onednn" if implementation == "jaxpose" else ""
        case = Case("detection", "", what, batch, implementation, lowering, dtype)
        visits[case.name] = [Visit(case.name, 0, b, 0, False, (seconds,)) for b in range(2)]
        return case

    visits: dict[str, list[Visit]] = {}
    chosen = [
        timed("forward", 1, "jaxpose", "float32", 4.0),
        timed("forward", 1, "jaxpose", "bfloat16", 2.0),
        timed("forward", 1, "openvino", "float32", 1.0),  # no opponent of bfloat16
        timed("forward", 1, "openvino", "bfloat16", 3.0),
        timed("train_step", 2, "jaxpose", "float32", 8.0),
        timed("train_step", 2, "jaxpose", "bfloat16", 4.0),
        timed("train_step", 2, "torch_eager", "bfloat16", 1.0),
    ]
    names = ("AVX2", "AVX-512 AMX", "AVX-512 AMX FP16", None)
    bars = {isa: targets.bars(chosen, visits, "paper", isa) for isa in names}
    reached = [(bar["of"].split()[-1], bar["speedup"], bar["met"]) for bar in bars["AVX-512 AMX"]]
    expected = [("float32", 0.25, "missed"), ("bfloat16", 1.5, "aim"), ("bfloat16", 2.0, "must")]
    assert reached == expected
    assert bars["AVX2"] == bars[None] == bars["AVX-512 AMX"][:2]
    assert bars["AVX-512 AMX FP16"] == bars["AVX-512 AMX"]
    pairs = {(c.of[0].name, *(o.name for o in c.over)) for c in comparisons(chosen)}
    step = "detection train_step 2 {} bfloat16"
    assert (step.format("jaxpose onednn"), step.format("torch_eager")) in pairs
    over = "detection forward 1 openvino {}"
    assert (chosen[1].name, over.format("bfloat16")) in pairs
    assert (chosen[1].name, over.format("float32")) not in pairs


def test_a_bar_is_missed_if_the_whole_interval_over_any_one_peer_lies_below_it(monkeypatch):
    def met(**intervals):
        def ratio(comparison, visits):
            [first, *others] = [case.implementation for case in comparison.over]
            return {"speedup": 0.9, "interval": [0.8, 1.0] if others else intervals[first]}

        monkeypatch.setattr(targets, "ratio", ratio)
        first = targets.bars(chosen, {}, "paper", None)[0]
        return first["met"], first["upper"]

    chosen, _ = measured(jaxpose=0.5, torch_eager=0.5, openvino=0.5)
    assert met(torch_eager=[0.8, 0.96], openvino=[0.8, 0.97]) == ("must", 0.96)
    assert met(torch_eager=[0.8, 0.96], openvino=[0.8, 0.94]) == ("missed", 0.94)


def test_targets_in_ms_are_those_of_the_size_the_type_and_the_instruction_set():
    def timed(implementation, dtype, median_ms, what="camera_to_pose"):
        lowering = "onednn" if implementation == "jaxpose_program" else ""
        case = Case("pipeline", "asy", what, 1, implementation, lowering, dtype)
        return {**dataclasses.asdict(case), "median_ms": median_ms}

    rows = [
        timed("jaxpose_program", "float32", 12.4),
        timed("openvino_shipped", "float32", 1.0),  # not ours
        timed("jaxpose_program", "bfloat16", 9.1),
    ]
    reached = [(x["median_ms"], x["must_ms"], x["met"]) for x in
               targets.limits(rows, "default", "AVX2")]  # fmt: skip
    assert reached == [(12.4, 16, "aim"), (9.1, 9, "missed")]
    whole = [timed("jaxpose_program", "bfloat16", 80.0, "forward")]
    assert [x["met"] for x in targets.limits(whole, "paper", "AVX-512 AMX FP16")] == ["must"]
    assert not targets.limits(whole, "paper", "AVX-512 BF16")


def test_cases_of_one_process_have_no_interval_and_the_table_names_the_reason():
    result = reported(jaxpose=0.4, torch_eager=0.5)
    for compared in (*result["ratios"], *result["bars"]):
        assert compared["interval"] is compared["reduction_interval"] is None
        assert compared["processes"] == 1
    lines = render.as_markdown(result).splitlines()
    assert sum("| one process |" in line for line in lines) == len(
        [*result["ratios"], *result["bars"]]
    )


def test_variants_are_compared_within_a_lowering_and_best_against_best():
    result = reported(jaxpose=0.4, jax_conv3d=1.0, torch_eager=0.5)
    named = {(r["of"], r["over"]): r for r in result["ratios"] if "chosen" not in r}
    assert (NAME("asy", "jaxpose folded"), NAME("full", "jaxpose folded")) in named
    assert (NAME("asy", "jax_conv3d conv3d"), NAME("full", "jax_conv3d conv3d")) in named
    assert (NAME("asy", "jaxpose folded"), NAME("full", "jax_conv3d conv3d")) not in named
    over = [NAME("full", name) for name in ("jaxpose folded", "jax_conv3d conv3d")]
    (best,) = [r for r in result["ratios"] if r.get("among") == over]
    assert (best["of"], best["speedup"]) == (NAME("asy", "jaxpose folded"), 2)
    assert best["over"] == NAME("full", "jaxpose folded")


def test_predictions_are_beside_measurements_and_misses_are_marked():
    result = reported(jaxpose=0.522, torch_eager=0.9)
    by_name = {p["what"]: p for p in result["predictions"]}
    assert not by_name["asy forward, folded, ms"]["missed"]
    missed = by_name["asy forward, PyTorch eager, ms"]
    assert missed["missed"] and missed["error"] == pytest.approx(0.982, abs=1e-3)
    assert by_name["asy over full, forward, useful MACs alone"]["measured"] == 2
    assert len({p.what for p in PREDICTIONS}) == len(PREDICTIONS)


def test_rows_have_their_share_of_the_roofline_and_everything_prints():
    result = reported(jaxpose=0.9)
    asy = result["rows"][0]
    # 44.16 useful GMAC at 100 GFLOP/s take 0.883 s
    assert asy["roofline_share"] == pytest.approx(0.883 / 0.9, rel=0.05)
    assert asy["macs_nominal"] == 3 * 96 * 128 * 1_303_488
    assert "regression asy forward 1 jaxpose folded float32" in render.as_markdown(result)
    assert render.as_csv(result["rows"]).startswith("net,variant,what,batch,implementation")
    assert render.stem(result).startswith("bench-paper-cpu-AVX2-float32-jax")


def test_a_roof_that_is_too_low_is_reported():
    above = "cases are above the roofline: the measured ceilings are too low"
    assert f"**2 of 2 {above}" in render.as_markdown(reported(jaxpose=0.5))
    assert above not in render.as_markdown(reported(jaxpose=1.1))


def test_few_calls_have_no_percentiles_in_any_table():
    result = reported(jaxpose=tuple([0.9] * 19), torch_eager=tuple([1.0] * 20))
    lines = {row["implementation"]: render.case_line(row) for row in result["rows"][:2]}
    assert (lines["jaxpose"][2:4], lines["torch_eager"][2:4]) == (["", ""], ["1000", ""])


def test_a_busy_machine_is_warned_of_and_marks_the_result(capsys):
    busy = {"busy_cores": 1.5, "stolen_cores": 0.0, "load_1min": 2.0}
    bench.warn(busy)
    assert "the machine is busy: others use 1.5 cores" in capsys.readouterr().err
    bench.warn(busy | {"busy_cores": 0.01})
    assert not capsys.readouterr().err
    bench.warn(busy | {"busy_cores": 0.01, "stolen_cores": 0.3})
    assert "the host took 0.3" in capsys.readouterr().err
    assert reported(1.5, jaxpose=0.9)["loaded"] and not reported(0.01, jaxpose=0.9)["loaded"]
    assert "not to be relied on" in render.as_markdown(reported(1.5, jaxpose=0.9))


def test_the_load_of_any_process_or_what_the_host_takes_marks_the_result():
    idle = {"busy_cores": 0.01, "stolen_cores": 0.0, "load_1min": 0.0}
    for during, marked in (
        ([idle, idle], False),
        ([idle, idle | {"busy_cores": 0.3}], True),
        ([idle | {"stolen_cores": 0.2}, idle], True),
    ):
        chosen, results = measured(jaxpose=0.9)
        results.loads = during
        facts = {"size": "paper", "seed": 0, "load_before": idle}
        result = report.result(chosen, results, SIZES["paper"], facts, {})
        assert result["loaded"] == marked and result["load"]["during"] == during


def test_the_load_counts_cores_of_others_alone(monkeypatch):
    """In 4 s of two cores, 800 ticks: 300 of work, of which 250 are our own, and 40 stolen."""
    ticks = iter([[100, 0, 0, 900, 0, 0, 0, 10], [400, 0, 0, 1360, 0, 0, 0, 50]])
    own = iter([70, 320])
    monkeypatch.setattr(machine, "_ticks", lambda: next(ticks))
    monkeypatch.setattr(machine, "_own_ticks", lambda: next(own))
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 2)
    load = machine.Watch().load()
    assert load["busy_cores"] == round(50 / 800 * 2, 2)
    assert load["stolen_cores"] == round(40 / 800 * 2, 2)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="ticks are those of Linux")
def test_the_ticks_of_workers_are_our_own_also_after_they_ended():
    before = machine._own_ticks()
    work = "import os\nwhile os.times().user < 0.3: pass\nprint(flush=True)\ninput()"
    child = subprocess.Popen([sys.executable, "-c", work], stdin=-1, stdout=-1)
    child.stdout.readline()
    running = machine._own_ticks() - before
    child.communicate(b"\n")
    ended = machine._own_ticks() - before
    per_s = os.sysconf("SC_CLK_TCK")
    assert 0.3 * per_s - 1 <= running <= ended + 1


def test_slow_lowerings_are_timed_once():
    chosen, results = measured(jaxpose=2.0, jax_conv3d=4.0, torch_eager=9.0)
    left = {c.implementation for c in without_slow(chosen, results, PROTOCOLS["default"])}
    assert left == {"jaxpose", "torch_eager"}
    assert without_slow(chosen, results, PROTOCOLS["full"]) == chosen
