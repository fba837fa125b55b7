"""A seed -> how far simulated bodies sink into what they touch, and how deep visible joints lie.

    python -m data_pipeline.penetration --infants=16 --frames=1000 --seed=0

The command plays the recordings that `data_pipeline.simulate` would write. In every annotated frame
it measures the deepest contact of a limb, trunk or head with another body, the nest, a wall or the
mattress. In one frame of `RENDERED` it renders the depth and measures how far each visible joint
lies behind the noise-free surface at its pixel, and how much further than its limb's radius, or
`annotation.SLANT` radii below the limb itself. Bodies that a joint links overlap by design and do
not count. The last line of stdout is one JSON object.
"""

import dataclasses
import sys
import time

import numpy as np
from tqdm import tqdm

from data_pipeline.simulate import check
from data_pipeline.simulated.annotation import MARGIN, visible_depth
from data_pipeline.simulated.recording import Recording
from jaxpose.body.skeleton import JOINTS
from jaxpose.commands import run_command
from jaxpose.options import parse_options

RENDERED = 20
"""One annotated frame in so many is rendered."""

DEEP_MM = 5.0
"""Depth of a contact beyond which a limb is inside another body, and not soft skin."""


def measure(seed: int, infant: int, frames: int, tick=lambda: None) -> dict:
    """Measures one infant.

    `deeper` is the share of the frames with a contact beyond `DEEP_MM`, `worst` names the deepest
    contact. Of the visible joints, `behind_mm` is the smallest distance behind the surface, and
    `beyond_radius_mm` the largest, less the limb's radius or `annotation.SLANT` of them.
    """
    recording = Recording(seed, infant, (640, 480), frames)
    radii = recording.radii[: len(JOINTS)]
    depths, worst, behind, beyond = [], [], [], []
    for frame in recording.frames(every=RENDERED):
        depth, pair = recording.scene.deepest_contact()
        depths.append(1000 * depth)
        worst.append(pair)
        if frame.depth is not None:
            px = np.rint(recording.camera.project(frame.joints)).astype(int)
            u, v = px.clip(0, np.array(recording.size) - 1).T
            mm = 1000 * (frame.joints[:, 2] - frame.depth[v, u])
            allowed = [
                1000 * (visible_depth(j, recording.names[frame.hit[v[j], u[j]]], radii[j]) - MARGIN)
                for j in range(len(JOINTS))
            ]
            visible = frame.causes[: len(JOINTS)] == ""
            behind.append(np.where(visible, mm, np.nan))
            beyond.append(np.where(visible, mm - allowed, np.nan))
        tick()
    deepest = int(np.argmax(depths))
    return {
        "infant": infant,
        "frames": frames,
        "deeper": float(np.mean(np.array(depths) > DEEP_MM)),
        "median_mm": round(float(np.median(depths)), 2),
        "p99_mm": round(float(np.percentile(depths, 99)), 2),
        "deepest_mm": round(depths[deepest], 2),
        "worst": worst[deepest],
        "behind_mm": round(float(np.nanmin(behind)), 2),
        "beyond_radius_mm": round(float(np.nanmax(beyond)), 2),
    }


@dataclasses.dataclass(frozen=True)
class Options:
    """Measures how far simulated infants sink into what they touch.

    Expected: deeper than 5 mm in at most 1 % of the frames; visible joints at least -5 mm behind
    the surface, at most 15 mm beyond their limb's radius."""

    infants: int = 16
    """Number of recordings."""
    frames: int = 1000
    """Frames per recording."""
    seed: int = 0
    """Seed of all random numbers."""


def run(options: Options) -> dict:
    began = time.perf_counter()
    check(options.infants, options.frames, options.seed)
    with tqdm(total=options.infants * options.frames, unit="frame") as bar:
        rows = [
            measure(options.seed, k, options.frames, bar.update)
            for k in range(1, options.infants + 1)
        ]
    for row in rows:
        print(
            f"infant {row['infant']:3}: deeper than {DEEP_MM:g} mm in {row['deeper']:.1%}, deepest "
            f"{row['deepest_mm']:.1f} mm ({row['worst']}); visible joints at least "
            f"{row['behind_mm']:.1f} mm behind the surface, at most "
            f"{row['beyond_radius_mm']:.1f} mm beyond their radius",
            file=sys.stderr,
        )
    return {
        "seed": options.seed,
        "deeper": round(float(np.mean([row["deeper"] for row in rows])), 5),
        "behind_mm": min(row["behind_mm"] for row in rows),
        "beyond_radius_mm": max(row["beyond_radius_mm"] for row in rows),
        "infants": rows,
        "seconds": round(time.perf_counter() - began, 1),
    }


def main(arguments: list[str] | None = None) -> int:
    options = parse_options(Options, arguments, "data_pipeline.penetration")
    return run_command(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
