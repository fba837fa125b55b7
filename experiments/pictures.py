"""matplotlib without a display, and PNG files whose bytes depend on their content alone."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402

__all__ = ["plt", "save"]


def save(figure: plt.Figure, path: Path) -> None:
    """Writes a figure to a PNG beside `path`, renames that file, and closes the figure.

    The file has no version and no date in it.
    """
    beside = path.with_name(f".{path.name}.part")
    figure.savefig(beside, dpi=110, format="png", metadata={"Software": None})
    plt.close(figure)
    beside.rename(path)
