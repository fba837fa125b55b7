"""The arrows of the design, read from the imports of every module.

An import that stands inside a function is *lazy*: it counts for the arrows between floors, but not
for what comes along when the module is imported.
"""

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLOORS = ("jaxpose", "data_pipeline", "experiments")
FILES = sorted(f for floor in FLOORS for f in (ROOT / floor).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}

BODY, NETS, LOWERING, TRAINING, DECODING, COST = (
    {m for m in MODULES if m.startswith(f"jaxpose.{room}")}
    for room in ("body", "nets", "lowering", "training", "decoding", "cost")
)
RECORDINGS = {m for m in MODULES if m.startswith("jaxpose.recordings")}
PREDICTION = {m for m in MODULES if m.startswith("jaxpose.prediction")}
OUTPUTS = {m for m in MODULES if m.startswith("jaxpose.outputs")}
LABELS = {m for m in MODULES if m.startswith("jaxpose.labels")}
DEMO = {"jaxpose.demo"}
KINEMATICS = {m for m in MODULES if m.startswith("jaxpose.kinematics")}
NUMPY_SIDE = BODY | DECODING | RECORDINGS | PREDICTION | OUTPUTS | KINEMATICS | DEMO | LABELS
FORMATS = {m for m in MODULES if m.startswith("jaxpose.formats")}
JAX_SIDE = NETS | LOWERING | TRAINING | COST | FORMATS
JOINING = {
    "jaxpose.model",
    "jaxpose.model_file",
    "jaxpose.runtime",
    "jaxpose.export",
    "jaxpose.specification",
    "jaxpose.estimator",
    "jaxpose.predict",
    "jaxpose.predict_options",
    "jaxpose.reading_options",
    "jaxpose.recorder",
    "jaxpose.describe",
    "jaxpose.label",
    "jaxpose.cli",
}
"""Modules that use both sides."""
COMMON = {f"jaxpose.{name}" for name in ("commands", "errors", "files", "options", "starting")}
"""Modules that use neither side."""
OPEN_TO_DATA = BODY | RECORDINGS | COMMON | {"jaxpose.decoding.metrics"}
"""What `data_pipeline` may import from jaxpose."""
JAX = {"jax", "jaxlib", "flax", "optax", "orbax"}
TENSORFLOW = {"tensorflow", "tensorflow_datasets"}
WITH_TENSORFLOW = {"data_pipeline.schema", "data_pipeline.examples.batches"}


def imported(tree: ast.AST, package: str, lazy: bool) -> set[str]:
    """Dotted names that a module imports; where `lazy`, inside functions, too."""
    actual = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            actual |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*package.split(".")[: 1 - node.level or None], base]).strip(".")
            # `from package import name` may mean a module: a name that is none goes later
            actual |= {base} | {f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            pass  # for readers alone
        elif lazy or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            actual |= imported(node, package, lazy)
    return actual


def imports_of(module: str, *, lazy: bool) -> set[str]:
    """Our modules by full name, everything else by its first name."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    names = imported(ast.parse(path.read_text()), package, lazy)
    # `from a import b` names the module a.b, where there is one, and a's own __init__ besides
    ours = {n for n in names if n in MODULES and n != module}
    return ours | {n.split(".")[0] for n in names if n.split(".")[0] not in FLOORS and n}


EAGER = {module: imports_of(module, lazy=False) for module in MODULES}
ANY = {module: imports_of(module, lazy=True) for module in MODULES}


def comes_along(module: str) -> set[str]:
    """All that importing a module imports, directly or not, packages' `__init__` included."""
    actual, todo = set(), {module}
    while todo:
        actual |= todo
        parents = {".".join(m.split(".")[:k]) for m in todo for k in range(1, m.count(".") + 1)}
        todo = (set().union(parents, *(EAGER.get(m, set()) for m in todo))) - actual
    return actual - {module}


def ours(module: str) -> set[str]:
    """The modules of ours that a module names, packages without their modules left out."""
    return {m for m in ANY[module] if m in MODULES and m not in FLOORS}


def test_the_reader_tells_eager_from_lazy_and_resolves_relative_imports():
    source = "import a.b\ntry:\n  from c import d\nexcept E:\n  pass\n"
    source += (
        "class K:\n  import e\n  def f(self):\n    import g\nfrom . import h\nfrom ..i import j"
    )
    eager = imported(ast.parse(source), "p.q", lazy=False)
    assert eager == {"a.b", "c", "c.d", "e", "p.q", "p.q.h", "p.i", "p.i.j"}
    assert imported(ast.parse(source), "p.q", lazy=True) - eager == {"g"}


def test_every_module_of_the_method_has_a_room_and_every_name_in_this_file_is_a_module():
    assert JOINING | OPEN_TO_DATA | WITH_TENSORFLOW <= MODULES.keys()
    method = {m for m in MODULES if m.split(".")[0] == "jaxpose"}
    assert method - NUMPY_SIDE - JAX_SIDE - JOINING == COMMON | {"jaxpose"}


def test_the_reader_finds_what_is_known_to_be_there():
    assert {"jaxpose.nets.compute", "jax", "flax"} <= EAGER["jaxpose.nets.modules"]
    assert "data_pipeline.simulate" in ANY["experiments.data"] - EAGER["experiments.data"]
    assert "tensorflow" in comes_along("data_pipeline.examples.batches")
    assert "cv2" in comes_along("jaxpose.decoding.linking")  # through jaxpose.decoding.peaks


@pytest.mark.parametrize("module", sorted(BODY | {"jaxpose.nets.factorise"}))
def test_the_limb_model_and_the_factorisations_import_nothing_from_another_room(module):
    assert {m for m in ours(module) if m.startswith("jaxpose.")} <= BODY


@pytest.mark.parametrize("module", sorted(NUMPY_SIDE))
def test_the_numpy_side_runs_without_jax_and_tensorflow(module):
    assert not (comes_along(module) | ANY[module]) & (JAX | TENSORFLOW)


@pytest.mark.parametrize("module", sorted(JAX_SIDE))
def test_the_jax_side_runs_without_cv2_scipy_and_tensorflow(module):
    assert not (comes_along(module) | ANY[module]) & ({"cv2", "scipy"} | TENSORFLOW)


@pytest.mark.parametrize(
    "module", ["jaxpose.body.skeleton", "jaxpose.body.masks", "jaxpose.nets.factorise"]
)
def test_limb_model_factorisations_and_masks_choose_no_array_library(module):
    arrays = {"numpy", "scipy", "cv2"} | JAX | TENSORFLOW
    assert not (comes_along(module) | ANY[module]) & arrays


def test_only_the_model_joins_both_sides():
    numpy_side = NUMPY_SIDE - {"jaxpose.body.skeleton", "jaxpose.body.masks"}
    joining = {
        module
        for module in MODULES
        if module.startswith("jaxpose.") and ours(module) & numpy_side and ours(module) & JAX_SIDE
    }
    assert joining <= JOINING


@pytest.mark.parametrize(
    "guarded", [BODY, NETS, LOWERING, TRAINING, DECODING, COST, WITH_TENSORFLOW]
)
def test_every_guarded_list_names_modules_that_exist(guarded):
    assert guarded and guarded <= MODULES.keys()


@pytest.mark.parametrize(
    "floor, above",
    [("jaxpose", ("data_pipeline", "experiments")), ("data_pipeline", ("experiments",))],
)
def test_no_floor_imports_one_above_it(floor, above):
    wrong = {
        (module, actual)
        for module in MODULES
        if module.split(".")[0] == floor
        for actual in ANY[module]
        if actual.split(".")[0] in above
    }
    assert not wrong


def test_the_data_pipeline_takes_the_limb_model_and_the_metrics_from_jaxpose():
    wrong = {
        (module, actual)
        for module in MODULES
        if module.startswith("data_pipeline")
        for actual in ours(module)
        if actual.startswith("jaxpose.") and actual not in OPEN_TO_DATA
    }
    assert not wrong


def needs_tensorflow(module: str) -> bool:
    return module in WITH_TENSORFLOW or module.endswith("_dataset_builder")


def test_tensorflow_is_imported_in_the_data_pipeline_alone_and_where_it_is_needed():
    importing = {module for module in MODULES if ANY[module] & TENSORFLOW}
    assert {m for m in importing if not needs_tensorflow(m)} == set()


@pytest.mark.parametrize("module", sorted(m for m in MODULES if not needs_tensorflow(m)))
def test_tensorflow_does_not_come_along_with_anything_else(module):
    assert not comes_along(module) & TENSORFLOW


@pytest.mark.parametrize("floor", FLOORS)
def test_there_are_no_circles_within_a_floor(floor):
    left = {m: {n for n in ours(m) if n.startswith(floor)} for m in MODULES if m.startswith(floor)}
    while free := {m for m, needs in left.items() if not needs & left.keys()}:
        left = {m: needs for m, needs in left.items() if m not in free}
    assert not left, f"each of these needs another of these: {sorted(left)}"


def test_no_file_is_longer_than_the_contributing_guide_says_and_none_is_called_utils():
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    most = int(guide.split("have at most ")[1].split(" lines")[0])
    assert most <= 250
    lines = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in FILES}
    assert {path: n for path, n in lines.items() if n > most} == {}
    assert not [p for p in FILES if p.name in ("utils.py", "util.py", "helpers.py", "misc.py")]


@pytest.mark.parametrize("module", sorted(m for m in MODULES if not m.endswith("__main__")))
def test_every_module_can_be_imported(module):
    """A name that was moved is missed by no test of another module. Peers are an extra."""
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name not in ("onnx", "onnxruntime", "openvino", "torch", "onednn"):
            raise
        pytest.skip(f"{error.name} is not installed")
