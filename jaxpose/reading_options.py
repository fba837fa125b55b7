"""The options that say how a recording is read, of every command that reads one."""

import dataclasses
from typing import TYPE_CHECKING

from jaxpose.errors import UserError
from jaxpose.options import numbers

if TYPE_CHECKING:
    from jaxpose.prediction.view import View
    from jaxpose.recordings.opening import Format


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """How frames are read, and what the nets see of them."""

    rate: float | None = None
    """Frames per second of a recording without times of its own; refused for others. None: 30."""
    rotate: int = 0
    """Degrees clockwise by which the nets see images turned: 0, 90, 180, 270. The head must point
    to the same side as in the model's training."""
    crop: str | None = None
    """Part of the image that the nets see, px: X,Y,WIDTH,HEIGHT. None: all of it."""
    mm_per_unit: float | None = None
    """Millimetres of one unit of depth, such as 1000 for metres. None: uint16 in mm."""
    farthest: float | None = None
    """Depth beyond this many mm counts as no depth: a floor, or 65535 for "no return". None: such
    an image is unusable above 6553 mm."""

    def file_format(self, size: tuple[int, int] | None = None) -> "Format":
        """Returns how files are read; `size` is the (width, height) px of raw frames on stdin.

        Raises:
          UserError: an option has another form or range than it must have.
        """
        from jaxpose.recordings.opening import Format

        if self.rate is not None and not 0 < self.rate < float("inf"):
            raise UserError(f"--rate={self.rate}: expected frames per second, above 0")
        return Format(self.rate, self.mm_per_unit, self.farthest, size)

    def view(self) -> "View":
        """Returns what the nets see of an image. Errors as in `file_format`."""
        from jaxpose.prediction.view import View

        crop = None if self.crop is None else numbers("--crop", self.crop, "X,Y,WIDTH,HEIGHT")
        return View(crop, self.rotate)

    def given(self) -> list[str]:
        """Returns the options that differ from their defaults, such as "--rotate"."""
        fields = dataclasses.fields(ReadingOptions)
        return [f"--{f.name}" for f in fields if getattr(self, f.name) != f.default]
