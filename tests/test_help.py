"""A new factorisation or lowering appears in every command once it is in its table."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from jaxpose.lowering import LOWERINGS
from jaxpose.nets.factorise import FACTORISATIONS, VARIANTS

ROOT = Path(__file__).resolve().parents[1]

PROGRAM = """
import contextlib, dataclasses, importlib, importlib.util, sys, types

line, command, *arguments = sys.argv[1:]

# jaxpose.nets.factorise with one more line in its table
name, table = "jaxpose.nets.factorise", "FACTORISATIONS: dict[str, Factorisation] = {"
path = importlib.util.find_spec(name).origin
source = open(path).read()
assert source.count(table) == 1
module = sys.modules[name] = types.ModuleType(name)
exec(compile(source.replace(table, table + line), path, "exec"), module.__dict__)

from jaxpose import lowering
lowering.LOWERINGS["other"] = dataclasses.replace(lowering.LOWERINGS["conv3d"], name="other")

with contextlib.suppress(SystemExit):  # of --help
    importlib.import_module(command).main(arguments)
"""


def output(command: str, *arguments: str) -> str:
    """What a command prints to stdout with the line of CONTRIBUTING.md and a lowering `other`."""
    line = re.search(r'^ +("rows_columns": .*,)$', (ROOT / "CONTRIBUTING.md").read_text(), re.M)[1]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, line, command, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert not done.returncode, done.stderr
    return done.stdout


def lists(command: str) -> set[str]:
    """The lists of names in a command's help, such as "full, asy, thin"."""
    text = " ".join(output(command, "--help").replace("│", " ").split())
    return set(re.findall(r"\w+(?:, \w+)+", text))


FACTORISED, VARIED = (
    ", ".join(dict.fromkeys(["rows_columns", *names])) for names in (FACTORISATIONS, VARIANTS)
)
LOWERED = ", ".join(dict.fromkeys([*LOWERINGS, "other"]))


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("experiments.run", {FACTORISED, VARIED, f"auto, {LOWERED}"}),
        ("experiments.evaluate", {f"auto, {LOWERED}"}),
        ("experiments.bench.__main__", {VARIED, LOWERED}),
    ],
)
def test_the_help_of_a_command_lists_what_was_added_to_a_table(command, expected):
    assert expected <= lists(command)


def test_a_factorisation_of_one_line_is_counted_as_a_variant():
    variants = json.loads(output("experiments.account").splitlines()[-1])["variants"]
    # 1x3x1 changes the channels, 1x1x3 keeps them; layer 5 and the output are 1x1x1
    pairs, squares = 21 * 64 + 64 * 128 + 128 * 256 + 256 * 256, 64**2 + 128**2 + 2 * 256**2
    weights = 3 * pairs + 3 * squares + 256 * 256 + 256 * 20
    assert variants["rows_columns"]["kernel_weights"] == weights
