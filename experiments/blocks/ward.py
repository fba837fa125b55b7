"""Measurements of the simulated ward -> sentences."""

import re
from collections import Counter
from collections.abc import Sequence

from experiments.blocks.source import Source, joined, read, wrapped
from experiments.config import ConfigError


def fidelity(sources: Sequence[Source]) -> str:
    """Says how many numbers are in the real sheets' intervals, per file, and which are not.

    Raises:
      ConfigError: there is no file, or one is damaged.
    """
    paths = [path for source in sources for path in source.paths]
    if not paths:
        raise ConfigError("the block `fidelity` names no file; expected results of fidelity")
    inside, outside, total = [], Counter(), 0
    for path in paths:
        cells = read(path)["cells"]
        total = len(cells)
        inside.append(str(sum(cell["within"] for cell in cells)))
        outside.update(cell["name"] for cell in cells if not cell["within"])
    seeds = [match[1] for path in paths if (match := re.search(r"seed(\d+)", path.stem))]
    text = f"Of {total} numbers, {joined(inside)} are in the real sheets' intervals"
    text += f" (seeds {joined(seeds)})." if len(seeds) > 1 else "."
    mostly = [name for name, count in sorted(outside.items()) if count > len(paths) / 2]
    if mostly:
        text += f" Outside for most of the seeds: {', '.join(mostly)}."
    return wrapped(text)


def penetration(sources: Sequence[Source]) -> str:
    """Says how deep bodies are inside other objects, and joints behind the surface.

    Raises:
      ConfigError: there is no file, or one is damaged.
    """
    sentences = []
    for source in sources:
        for path in source.paths:
            values = read(path)
            frames = sum(infant["frames"] for infant in values["infants"])
            sentences.append(
                f"In {frames:,} frames of {len(values['infants'])} infants, a limb is deeper than "
                f"5 mm in something else in {100 * values['deeper']:.3f} % of the frames; visible "
                "joints are behind the rendered surface by at most their limb's radius (three of "
                f"them below the limb itself) and {values['beyond_radius_mm']:.0f} mm."
            )
    if not sentences:
        raise ConfigError("the block `penetration` names no file; expected results of penetration")
    return wrapped(" ".join(sentences))
