"""The numbers of the stochastic model that can be changed, as one tree of frozen dataclasses.

Each part is defined beside the code that draws from it, where the source of its values is named.
"""

import dataclasses
import json
import typing
from pathlib import Path

from data_pipeline.errors import DataError
from data_pipeline.simulated.annotation import Annotator
from data_pipeline.simulated.body import Proportions
from data_pipeline.simulated.camera import View
from data_pipeline.simulated.carer import Visits
from data_pipeline.simulated.cloths import Bedding
from data_pipeline.simulated.ranges import refusal
from data_pipeline.simulated.sensor import Sensor
from data_pipeline.simulated.temperament import Movement
from data_pipeline.simulated.tubes import Lines


@dataclasses.dataclass(frozen=True)
class Parameters:
    """Everything that a simulation is drawn from, beside its seed, sizes and counts."""

    body: Proportions = Proportions()
    movement: Movement = Movement()
    view: View = View()
    bedding: Bedding = Bedding()
    lines: Lines = Lines()
    carer: Visits = Visits()
    sensor: Sensor = Sensor()
    annotator: Annotator = Annotator()


DEFAULT = Parameters()


def read_parameters(path: Path) -> Parameters:
    """Reads a JSON file that names only what it changes: `{"movement": {"burst_s": [1, 4]}}`.

    Raises:
      DataError: the file is no such file, names something unknown, or has a value out of bounds.
    """
    try:
        inputs = json.loads(path.read_text())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error})") from None
    return _changed(DEFAULT, inputs, str(path))


def _changed(default, inputs, where: str):
    """Returns `default` with the changes of `inputs`; `where` is the place that an error names."""
    kinds = typing.get_type_hints(type(default), include_extras=True)
    if not isinstance(inputs, dict):
        raise DataError(f"{where} is {inputs!r}; expected an object with {', '.join(kinds)}")
    parts = {}
    for name, value in inputs.items():
        if name not in kinds:
            raise DataError(f"{where}: unknown {name!r}; one of: {', '.join(kinds)}")
        if dataclasses.is_dataclass(kinds[name]):
            parts[name] = _changed(getattr(default, name), value, f"{where}: {name}")
        elif expected := refusal(kinds[name], value):
            raise DataError(f"{where}: {name} is {value!r}; expected {expected}")
        else:
            parts[name] = tuple(map(float, value)) if isinstance(value, list) else float(value)
    try:
        return dataclasses.replace(default, **parts)
    except DataError as error:  # numbers that are valid alone, but not together
        raise DataError(f"{where}: {error}") from None
