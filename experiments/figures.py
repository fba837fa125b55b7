"""Results -> figures: box plots per limb (the paper's Fig. 4), losses, poses drawn on depth."""

import json
from pathlib import Path

import numpy as np

from data_pipeline.examples.frames import Frames
from experiments.evaluation import Tested
from experiments.pictures import plt, save
from jaxpose.body.skeleton import CONNECTIONS, LIMBS

COLOURS = {
    "right_arm": "#ff8c42",
    "left_arm": "#2ec4b6",
    "right_leg": "#e84855",
    "left_leg": "#5b8def",
}
"""Limb -> its colour, readable on dark depth."""


def draw_run(
    folder: Path, frames: Frames, tested: Tested, errors: dict[str, np.ndarray]
) -> list[Path]:
    """Draws the three figures of a run into `folder`/figures, and returns their paths."""
    figures = folder / "figures"
    figures.mkdir(exist_ok=True)
    box_plot(
        figures / "fig4.png",
        {
            "both nets": errors["default_fallback"],
            "detection alone": errors["detector_fallback"],
            "mean pose": errors["mean_pose"],
            "previous frame": errors["previous_frame"],
        },
    )
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    loss_curves(figures / "losses.png", rows)
    pose_sheet(figures / "poses.png", frames, tested, errors["default_fallback"])
    return sorted(figures.iterdir())


def box_plot(path: Path, errors: dict[str, np.ndarray], paper: dict | None = None) -> None:
    """Draws one box per limb and method, with whiskers at 5 and 95 %.

    `errors` maps a method to RMSD [n 4] in px of 128x96. `paper` maps a method to (median, IQR) per
    limb, which is all that the paper reports; it is drawn in a second panel.
    """
    figure, panels = plt.subplots(
        1, 2 if paper else 1, figsize=(13 if paper else 9, 4.5), layout="constrained", squeeze=False
    )
    axes = panels[0, 0]
    if paper:
        _paper_medians(panels[0, 1], paper)
    width = 0.8 / len(errors)
    for k, (name, rmsd) in enumerate(errors.items()):
        boxes = axes.boxplot(
            [column[np.isfinite(column)] for column in rmsd.T],
            positions=np.arange(len(LIMBS)) + (k - (len(errors) - 1) / 2) * width,
            widths=0.85 * width,
            whis=(5, 95),
            showfliers=False,
            patch_artist=True,
            medianprops={"color": "black"},
        )
        for box in boxes["boxes"]:
            box.set_facecolor(plt.cm.Set2(k))
        axes.plot([], [], "s", color=plt.cm.Set2(k), markersize=9, label=name)
    axes.set_xticks(range(len(LIMBS)), [limb.replace("_", " ") for limb in LIMBS])
    axes.set_ylabel("RMSD, px of 128x96")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False, ncols=len(errors), loc="upper center", bbox_to_anchor=(0.5, 1.12))
    save(figure, path)


def _paper_medians(axes, paper: dict) -> None:
    """Draws medians, each with a bar as long as the IQR: the paper does not report quartiles."""
    for k, (name, limbs) in enumerate(paper.items()):
        median, iqr = np.array(limbs).T
        at = np.arange(len(LIMBS)) + (k - (len(paper) - 1) / 2) * 0.25
        axes.errorbar(at, median, iqr / 2, fmt="o", capsize=5, label=name)
    axes.set_xticks(range(len(LIMBS)), [limb.replace("_", " ") for limb in LIMBS])
    axes.set(ylabel='"pixels for the 128x96 images"', ylim=(0, None))
    axes.set_title("the paper: other infants, a doubtful unit; bars as long as the IQR", fontsize=9)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False, loc="lower left")


def loss_curves(path: Path, rows: list[dict]) -> None:
    """Draws loss and validation measure of both stages per epoch, and marks the best epoch."""
    figure, all_axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for axes, (stage, measure, best) in zip(
        all_axes,
        (("detection", "val_accuracy", np.argmax), ("regression", "val_error", np.argmin)),
        strict=True,
    ):
        stage_rows = [row for row in rows if row["stage"] == stage]
        epochs = [row["epoch"] for row in stage_rows]
        axes.plot(epochs, [row["loss"] for row in stage_rows], ".-", color="#33658a")
        axes.set(title=stage, xlabel="epoch", yscale="log")
        axes.set_ylabel("training loss", color="#33658a")
        values = [1 - row[measure] if stage == "detection" else row[measure] for row in stage_rows]
        name = "wrong pixels" if stage == "detection" else "mean absolute error"
        right = axes.twinx()
        right.plot(epochs, values, ".-", color="#f26419")
        right.axvline(
            epochs[int(best([row[measure] for row in stage_rows]))], color="#f26419", ls=":", lw=1
        )
        right.set_ylabel(f"validation: {name}", color="#f26419")
        right.set_yscale("log")
    save(figure, path)


def pose_sheet(path: Path, frames: Frames, tested: Tested, errors: np.ndarray) -> None:
    """Draws true (white, dotted) and predicted (coloured) limbs on the depth of twelve test frames.

    Four frames are typical, four at the 90th percentile, and four the worst, by the error [n 4] of
    their worst limb.
    """
    worst_limb = np.nanmax(np.where(np.isnan(errors), -1, errors), axis=1)
    ranked = np.argsort(worst_limb, kind="stable")
    count = len(ranked)
    chosen = []
    for title, centre in (("typical", 0.5), ("90th percentile", 0.9), ("worst", 1.0)):
        # Spread out, so that a row does not show neighbouring frames of one recording.
        span = max(4, count // 25)
        first = int(np.clip(round(centre * count - span / 2), 0, max(0, count - span)))
        picks = np.linspace(first, min(count, first + span) - 1, 4).round().astype(int)
        if centre == 1.0:
            picks = _apart(ranked[::-1], tested.index, 4)
            picks = [int(np.flatnonzero(ranked == p)[0]) for p in picks]
        chosen += [(title, ranked[p]) for p in picks]
    figure, all_axes = plt.subplots(3, 4, figsize=(13, 8), layout="constrained")
    poses = tested.poses["default"]
    for axes in all_axes.flat[len(chosen) :]:  # fewer test frames than panels
        axes.axis("off")
    for axes, (title, k) in zip(all_axes.flat, chosen, strict=False):
        index = tested.index[k]
        draw_pose(
            axes, frames.depth_mm[index], poses.xy[k], poses.found[k], frames.xy[index],
            frames.visible[index],
        )  # fmt: skip
        axes.set_title(
            f"{title}: {frames.subject[index]} {frames.sequence[index]} #{frames.frame[index]}, "
            f"worst limb {worst_limb[k]:.1f} px",
            fontsize=8,
        )
    figure.suptitle(
        f"{frames.dataset}: predicted limbs (coloured; hollow = not found) and true ones "
        "(white dotted); px of 128x96",
        fontsize=10,
    )
    save(figure, path)


def _apart(ranked: np.ndarray, index: np.ndarray, count: int) -> list[int]:
    """Returns the first `count` entries of `ranked` whose frames are at least 10 apart.

    If there are fewer, the first of the others follow.
    """
    picks = []
    for k in ranked:
        if all(abs(int(index[k]) - int(index[p])) >= 10 for p in picks):
            picks.append(int(k))
        if len(picks) == count:
            return picks
    return [*picks, *(int(k) for k in ranked if int(k) not in picks)][:count]


def draw_pose(axes, depth_mm, xy, found, true_xy=None, visible=None) -> None:
    """Draws the limbs of one frame on its depth [h w]; joints are (x, y) in px of that frame."""
    low, high = np.percentile(depth_mm, (1, 99))
    axes.imshow(depth_mm, cmap="gray_r", vmin=low, vmax=max(high, low + 1))
    limb_of = [limb for limb, joints in LIMBS.items() for _ in joints]
    for a, b in CONNECTIONS:
        if true_xy is not None and visible[a] and visible[b]:
            axes.plot(*true_xy[[a, b]].T, ":", color="white", lw=1.6, zorder=3)
        style = "-" if found[a] and found[b] else "--"
        axes.plot(*xy[[a, b]].T, style, color=COLOURS[limb_of[a]], lw=2, zorder=2)
    for joint, limb in enumerate(limb_of):
        face = COLOURS[limb] if found[joint] else "none"
        axes.plot(*xy[joint], "o", mfc=face, mec=COLOURS[limb], ms=5, zorder=4)
    rows, cols = depth_mm.shape
    axes.set(xlim=(-0.5, cols - 0.5), ylim=(rows - 0.5, -0.5), xticks=[], yticks=[])
