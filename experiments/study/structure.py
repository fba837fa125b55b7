"""The value of a result file -> what is wrong with its structure, in words."""

from collections.abc import Iterator

from experiments.recipe import STAGES
from experiments.study.groups import COLUMNS, ERROR

COUNTS = ("frames", "visible_joints", "missed_joints")
"""Columns of counts per infant that every result has, besides its ids and errors."""


def problem(value: dict) -> str | None:
    """Says what is wrong with a result that has all keys; None if tables can be made of it."""
    return next(_problems(value), None)


def _problems(value: dict) -> Iterator[str]:
    if not isinstance(value["recipe"], dict):
        yield "recipe is no object"
    if not isinstance(value["own_options"], list):
        yield "own_options is no list"
    yield from _of_history(value["history"])
    yield from _of_infants(value["infants"])


def _of_history(history) -> Iterator[str]:
    """Yields what is wrong with the measures per epoch: stage -> name -> numbers."""
    for stage in STAGES:
        columns = history.get(stage) if isinstance(history, dict) else None
        if not isinstance(columns, dict):
            yield f"history has no {stage}"
        elif not all(_numbers(values) and None not in values for values in columns.values()):
            yield f"history/{stage} has something else than lists of numbers"
        elif len({len(values) for values in columns.values()}) > 1:
            yield f"history/{stage} has columns of different lengths"


def _of_infants(infants) -> Iterator[str]:
    """Yields what is wrong with the columns per infant."""
    ids = infants.get("id") if isinstance(infants, dict) else None
    if not isinstance(ids, list) or not ids:
        yield "infants has no id"
        return
    for name in (*COUNTS, ERROR):
        if name not in infants:
            yield f"infants has no {name}"
    for name, column in infants.items():
        if isinstance(column, dict):
            yield from (f"infants/{name} has no {limb}" for limb in COLUMNS if limb not in column)
            for limb, values in column.items():
                yield from _of_column(f"infants/{name}/{limb}", values, len(ids))
        elif name != "id":
            yield from _of_column(f"infants/{name}", column, len(ids))
            if name in COUNTS and None in column:
                yield f"infants/{name} lacks a count"
    if all(number is None for number in infants[ERROR]["all"]):
        yield f"infants/{ERROR}/all has no number"


def _of_column(name: str, values, count: int) -> Iterator[str]:
    if not _numbers(values):
        yield f"{name} is no list of numbers"
    elif len(values) != count:
        yield f"{name} has {len(values)} values, expected one for each of {count} infants"


def _numbers(values) -> bool:
    """Tells whether it is a list of numbers and None."""
    return isinstance(values, list) and all(
        value is None or (isinstance(value, int | float) and not isinstance(value, bool))
        for value in values
    )
