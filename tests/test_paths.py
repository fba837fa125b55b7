"""Paths from the command line, in every option of every command: `~`, and outputs that cannot be
written."""

import ast
import dataclasses
import importlib
import inspect
import os
import typing
from pathlib import Path

import pytest
from models import make_model
from test_floors import MODULES
from test_load import write_babypose
from test_resume import SMALL, made_up

from data_pipeline import check
from data_pipeline.errors import DataError
from data_pipeline.examples.frames import save
from data_pipeline.outputs import check_output
from experiments import evaluate, run, rundir, tables
from experiments.bench import __main__ as bench
from experiments.config import Config, ConfigError, Place
from jaxpose import cli, label, options


def commands():
    """Modules with a `main` of their own."""
    for name, path in MODULES.items():
        tree = ast.parse(path.read_text())
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            yield name


ELSEWHERE = {"experiments.run": Place, "jaxpose.cli": cli.Info}
OPTIONS = {
    name: ELSEWHERE[name] if name in ELSEWHERE else importlib.import_module(name).Options
    for name in commands()
} | {
    "jaxpose.cli (predict)": cli.Predict,
    "jaxpose.cli (label export)": label.Export,
    "jaxpose.cli (label import)": label.Import,
}
"""Command -> its options."""


def descriptions(options_class) -> dict[str, str]:
    """Name of an option -> the text under it, of a class and of those that it inherits from."""
    texts = {}
    for one in reversed(options_class.__mro__):
        if dataclasses.is_dataclass(one):
            texts |= own_descriptions(one)
    return texts


def own_descriptions(options_class) -> dict[str, str]:
    (body,) = ast.parse(inspect.getsource(options_class)).body
    fields = [node for node in body.body if not isinstance(node, ast.FunctionDef)]
    texts = {
        a.target.id: b.value.value
        for a, b in zip(fields, fields[1:], strict=False)
        if isinstance(a, ast.AnnAssign) and isinstance(b, ast.Expr)
    }
    for field in dataclasses.fields(options_class):
        for mark in getattr(field.type, "__metadata__", ()):
            texts[field.name] = getattr(mark, "help", None) or texts[field.name]
    return texts


def is_path(field: dataclasses.Field) -> bool:
    return "Path" in str(typing.get_args(field.type) or field.type)


@pytest.mark.parametrize("options_class", OPTIONS.values(), ids=OPTIONS.keys())
def test_an_option_that_names_a_file_or_a_folder_is_a_path(options_class):
    texts = descriptions(options_class)
    words = (
        "older",
        "File",
        "FILE",
        " file written",
        "Picture to",
        "Table to",
        "model.safetensors",
        "Model file",
    )
    for field in dataclasses.fields(options_class):
        text = texts[field.name]
        names_one = any(word in text for word in words)
        no_path = field.type is int or field.name in ("name", "folders", "machine")
        assert is_path(field) == (names_one and not no_path), (field.name, text)


def test_the_options_of_the_main_commands_that_are_paths():
    actual = {
        name: [f.name for f in dataclasses.fields(o) if is_path(f)] for name, o in OPTIONS.items()
    }
    expected = {
        "data_pipeline.check": ["dir"],
        "data_pipeline.prepare": ["data_dir", "out"],
        "data_pipeline.simulate": ["out", "parameters"],
        "data_pipeline.simulated.look": ["dir", "real", "out"],
        "experiments.bench.__main__": ["out"],
        "experiments.evaluate": ["model", "data_dir", "cache_dir", "out", "curve"],
        "experiments.run": ["data_dir", "init", "runs_dir", "cache_dir"],
        "experiments.tables": ["runs", "out"],
        "jaxpose.cli": ["model"],
        "jaxpose.cli (predict)": ["recordings", "out", "model"],
    }
    assert {name: actual[name] for name in expected} == expected


def words(options_class, path: str) -> list[str]:
    """A command line in which every option that is a path has this one, and others a text."""
    line, positional = [], []
    for field in dataclasses.fields(options_class):
        needed = field.default is field.default_factory is dataclasses.MISSING
        if is_path(field) and options.is_positional(field):
            positional.append(path)
        elif is_path(field) or needed:
            line.append(f"--{field.name}={path if is_path(field) else 'text'}")
    return positional + line


def paths_of(parsed) -> list[Path]:
    values = [getattr(parsed, f.name) for f in dataclasses.fields(parsed) if is_path(f)]
    return [path for v in values for path in (v if isinstance(v, tuple) else (v,))]


WITH_PATHS = {k: v for k, v in OPTIONS.items() if any(map(is_path, dataclasses.fields(v)))}


@pytest.mark.parametrize("options_class", WITH_PATHS.values(), ids=WITH_PATHS.keys())
def test_a_tilde_is_the_home_folder_in_every_path(options_class, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    actual = paths_of(options.parse(options_class, words(options_class, "~/a b"), "test"))
    assert actual and set(actual) == {tmp_path / "a b"}


@pytest.mark.parametrize("options_class", WITH_PATHS.values(), ids=WITH_PATHS.keys())
def test_the_home_of_nobody_is_refused_with_the_name_of_the_option(options_class, capsys):
    with pytest.raises(SystemExit) as end:
        options.parse(options_class, words(options_class, "~no-such-user/x"), "test")
    assert end.value.code == 2
    first = next(f for f in dataclasses.fields(options_class) if is_path(f))
    option = first.name.upper() if options.is_positional(first) else f"--{first.name}"
    message = capsys.readouterr().err
    assert message.startswith(f"error: {option}=~no-such-user/x: ")
    assert message.endswith("; write the whole path\n") and message.count("\n") == 1


def test_a_tilde_inside_of_a_path_is_a_name(tmp_path):
    parsed = options.parse(check.Options, [f"{tmp_path}/~/~x"], "test")
    assert parsed.dir == tmp_path / "~" / "~x"


def test_the_folders_of_a_run_are_expanded_within_its_configuration(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    parsed = options.parse(Config, ["--runs_dir=~/r", "--data_dir=~/d.npz"], "test")
    assert (parsed.place.runs_dir, parsed.place.data_dir) == (tmp_path / "r", tmp_path / "d.npz")
    assert parsed.run_dir.parent == tmp_path / "r"


# ---------------------------------------------------------------- outputs that cannot be written


def below_a_file(root):
    (root / "file").write_text("")
    return root / "file" / "out"


def in_proc(root):
    return Path("/proc/out")


def too_long(root):
    return root / ("a" * 300)


PLACES = [below_a_file, in_proc, too_long]


def refused(main, command, capsys) -> str:
    capsys.readouterr()
    assert main(command) == 2
    output = capsys.readouterr()
    assert not output.out
    return output.err.splitlines()[-1]


@pytest.mark.parametrize("place", PLACES)
def test_evaluate_refuses_an_out_before_it_loads_the_model(place, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(evaluate, "load", None)
    out = place(tmp_path).with_suffix(".json")
    message = refused(evaluate.main, ["model.safetensors", f"--out={out}"], capsys)
    assert message.startswith(f"error: {out}: ")
    (tmp_path / "a.json").mkdir()
    message = refused(evaluate.main, ["m", f"--out={tmp_path / 'a.json'}"], capsys)
    assert "is a folder; expected the name of a file" in message
    message = refused(evaluate.main, ["m", f"--out={tmp_path / 'a.txt'}"], capsys)
    assert message.endswith("expected a name in .json")


@pytest.mark.parametrize("place", PLACES)
def test_evaluate_refuses_a_cache_before_it_reads_data(place, tmp_path, monkeypatch, capsys):
    make_model().save(tmp_path / "model.safetensors")
    write_babypose(tmp_path / "in", {"2": 4})
    command = [str(tmp_path / "model.safetensors"), "--dataset=babypose", "--lowering=folded"]
    command += [f"--data_dir={tmp_path / 'in'}", f"--cache_dir={place(tmp_path)}"]
    monkeypatch.setattr("experiments.data.load_frames", None)
    message = refused(evaluate.main, command, capsys)
    assert "cannot be written" in message and "choose another --cache_dir" in message


@pytest.mark.parametrize("place", PLACES)
def test_the_benchmark_and_tables_refuse_an_out_before_any_work(
    place, tmp_path, monkeypatch, capsys
):
    out = place(tmp_path)
    monkeypatch.setattr(bench, "measure", None)
    message = refused(bench.main, ["--size=tiny", "--protocol=smoke", f"--out={out}"], capsys)
    assert message.startswith(f"error: {out}: cannot be written") and "another --out" in message
    monkeypatch.setattr(tables, "read_runs", lambda folders: [])
    monkeypatch.setattr(tables, "read_errors", None)
    message = refused(tables.main, ["a", f"--out={out}"], capsys)
    assert message.startswith(f"error: {out}: cannot be written") and "another --out" in message


@pytest.fixture
def run_command(tmp_path, monkeypatch):
    """A run that may not read its data, and its folder, as an earlier start has left it."""
    save(made_up(), tmp_path / "frames.npz")
    monkeypatch.setattr(run, "read_frames", None)
    folder = tmp_path / "runs" / "mine"
    folder.mkdir(parents=True)
    command = [f"--data_dir={tmp_path / 'frames.npz'}", "--name=mine", *SMALL]
    return [*command, f"--runs_dir={tmp_path / 'runs'}"], folder


@pytest.mark.parametrize("name", rundir.FILES)
def test_a_run_refuses_a_folder_where_it_would_write_a_file(run_command, name, capsys):
    command, folder = run_command
    (folder / name).mkdir()
    message = refused(run.main, command, capsys)
    assert message.startswith(f"error: {folder / name}: is a folder, where the run writes a file")


@pytest.mark.parametrize("name", rundir.FOLDERS)
@pytest.mark.parametrize("link", [False, True], ids=["file", "broken link"])
def test_a_run_refuses_a_file_where_it_would_write_a_folder(run_command, name, link, capsys):
    command, folder = run_command
    if link:
        (folder / name).symlink_to(folder / "nowhere" / "at all")
    else:
        (folder / name).write_text("")
    message = refused(run.main, command, capsys)
    assert message.startswith(f"error: {folder / name}: cannot be written (")


def test_the_files_and_folders_that_a_run_checks_are_those_that_it_writes(run_command, capsys):
    text = inspect.getsource(run) + inspect.getsource(rundir)
    assert all(f'"{name}"' in text for name in (*rundir.FILES, "tensorboard"))
    command, folder = run_command
    for name in rundir.FOLDERS:
        (folder / name).mkdir()
    with pytest.raises(TypeError):  # it gets as far as reading the data
        run.main(command)


def test_a_probe_that_does_not_fit_is_removed_and_refused(tmp_path, monkeypatch):
    write = Path.write_bytes

    def half(path, data):
        write(path, data[: len(data) // 2])
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(DataError, match="cannot be written .No space left on device"):
        check_output(tmp_path / "a.json", ["json"])
    with pytest.raises(ConfigError, match="cannot be written .No space left on device"):
        rundir.claim(tmp_path, 0)
    assert os.listdir(tmp_path) == []
