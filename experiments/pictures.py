"""matplotlib without a display, and pictures whose bytes follow from their content alone."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402

__all__ = ["plt", "save"]


def save(figure: plt.Figure, path: Path) -> None:
    """Writes a PNG beside `path`, then renames; closes the figure. No version and no date is
    written into it."""
    beside = path.with_name(f".{path.name}.part")
    figure.savefig(beside, dpi=110, format="png", metadata={"Software": None})
    plt.close(figure)
    beside.rename(path)
