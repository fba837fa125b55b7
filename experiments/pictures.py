"""matplotlib without a display, and PNG files whose bytes depend on their content alone."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402

from jaxpose.files import written_whole  # noqa: E402

__all__ = ["plt", "save"]


def save(figure: plt.Figure, path: Path) -> None:
    """Writes a figure to a PNG beside `path`, renames that file, and closes the figure.

    The file has no version and no date in it.
    """
    with written_whole(path) as beside:
        figure.savefig(beside, dpi=110, format="png", metadata={"Software": None})
    plt.close(figure)
