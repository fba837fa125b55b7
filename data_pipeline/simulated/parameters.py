"""The numbers of the stochastic model that can be changed, as one tree of frozen dataclasses.

Each part lives beside the code that draws from it and says there where its values come from.
"""

import dataclasses
import json
from pathlib import Path

from data_pipeline.errors import DataError
from data_pipeline.simulated.annotation import Annotator
from data_pipeline.simulated.body import Proportions
from data_pipeline.simulated.camera import View
from data_pipeline.simulated.carer import Visits
from data_pipeline.simulated.cloths import Bedding
from data_pipeline.simulated.movement import Movement
from data_pipeline.simulated.sensor import Sensor
from data_pipeline.simulated.tubes import Lines


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What one simulation is drawn from, beside its seed, sizes and counts."""

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
    """A JSON file that names only what it changes: `{"movement": {"burst_s": [1, 4]}}`.

    Raises:
      DataError: not such a file; an unknown name; a value that is no number or no such list.
    """
    try:
        given = json.loads(path.read_text())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error})") from None
    return _changed(DEFAULT, given, str(path))


def _changed(default, given, where: str):
    """`default` with what `given` says; `where` leads the reader of an error to the place."""
    if dataclasses.is_dataclass(default):
        fields = [f.name for f in dataclasses.fields(default)]
        if not isinstance(given, dict):
            raise DataError(f"{where} is {given!r}; wanted an object with {', '.join(fields)}")
        for name in given:
            if name not in fields:
                raise DataError(f"{where}: unknown {name!r}; one of: {', '.join(fields)}")
        parts = {
            name: _changed(getattr(default, name), value, f"{where}: {name}")
            for name, value in given.items()
        }
        return dataclasses.replace(default, **parts)
    if isinstance(default, tuple):
        if not isinstance(given, list) or len(given) != len(default):
            raise DataError(f"{where} is {given!r}; wanted a list like {json.dumps(default)}")
        return tuple(_changed(d, g, where) for d, g in zip(default, given, strict=True))
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise DataError(f"{where} is {given!r}; wanted a number like {default}")
    return float(given)
