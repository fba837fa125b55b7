"""bfloat16 on CPUs with and without the instructions for it."""

import json

import jax
import pytest
from lowerings import NEEDS_ONEDNN, ONEDNN
from test_onednn import python

from jaxpose.lowering import instructions, missing_instructions
from jaxpose.lowering.onednn import library

NEEDED = "does not compute in bfloat16, which needs AVX-512 BF16 or AMX; use float32"


@pytest.mark.parametrize(
    "description, has",
    [
        ("flags\t\t: fpu avx2 avx512f avx512_vnni", False),
        ("flags\t\t: fpu avx512f avx512_bf16 avx512_vnni", True),
        ("flags\t\t: avx512_fp16 amx_bf16 amx_tile", True),
        ("Features\t: fp asimd sha2", False),
        ("Features\t: fp asimd bf16 sha2", True),
    ],
)
def test_without_the_library_the_system_s_description_of_the_cpu_decides(
    description, has, monkeypatch, tmp_path
):
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    monkeypatch.setattr(library, "missing", lambda: "not installed")
    monkeypatch.setattr(instructions, "CPUINFO", tmp_path / "cpuinfo")
    assert missing_instructions("bfloat16") is None  # a system that says nothing
    (tmp_path / "cpuinfo").write_text(description)
    assert missing_instructions("bfloat16") == (None if has else f"this CPU {NEEDED}")
    assert missing_instructions("float32") is None


def test_a_gpu_has_bfloat16_whatever_its_cpu_has(monkeypatch):
    monkeypatch.setattr(library, "has_bfloat16", lambda: False)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert missing_instructions("bfloat16") is None
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert NEEDED in missing_instructions("bfloat16")


LOADED = """
import json
from experiments import choices, evaluate
from experiments.options import parse
from jaxpose.estimator import shipped_model
from jaxpose.lowering import instruction_set
from jaxpose.runtime import load_model

def answer(function):
    try:
        return function()
    except ValueError as error:
        return str(error)

def half(**options):
    return load_model(shipped_model(), precision="bfloat16", **options).lowering.name

def trained(*options):
    return choices.resolve(parse(["--precision=bfloat16", *options]), {}).machine.lowering

tested = evaluate.Options(model=shipped_model(), precision="bfloat16")
print(json.dumps({
    "isa": instruction_set(),
    "load": answer(half),
    "onednn": answer(lambda: half(lowering="onednn")),
    "folded": answer(lambda: half(lowering="folded")),
    "run": answer(trained),
    "run folded": answer(lambda: trained("--lowering=folded")),
    "evaluate": answer(lambda: evaluate.load(tested).lowering.name),
}))
"""


@NEEDS_ONEDNN
@pytest.mark.parametrize("newest", ["AVX2", "AVX512_CORE"])
def test_a_cpu_without_bfloat16_says_so_unless_a_lowering_that_emulates_it_is_named(newest):
    done = python(LOADED, ONEDNN_MAX_CPU_ISA=newest)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    refused = f"this CPU ({answers['isa']}) {NEEDED}"
    assert answers["load"].endswith(f".safetensors: {refused}") and answers["load"].count(":") == 1
    assert answers["onednn"].endswith(f"lowering onednn, bfloat16: {refused}")
    assert answers["evaluate"].endswith(refused)
    assert answers["run"].startswith(f"--precision=bfloat16: {refused}")
    assert answers["folded"] == answers["run folded"] == "folded"


@NEEDS_ONEDNN
@pytest.mark.parametrize("isa, has", [(0x7, False), (0x27, False), (0xE7, True), (0xFEF, True)])
def test_amx_and_avx512_bf16_have_it_and_avx512_alone_has_not(isa, has, monkeypatch):
    class Loaded:
        def dnnl_get_effective_cpu_isa(self):
            return isa

    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    monkeypatch.setattr(library, "library", Loaded)
    assert library.has_bfloat16() is has and (missing_instructions("bfloat16") is None) is has
    if not has:
        assert ONEDNN.unavailable("bfloat16") == f"this CPU ({library.instruction_set()}) {NEEDED}"
