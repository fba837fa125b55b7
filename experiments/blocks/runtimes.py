"""Results of `experiments.runtimes` -> a table of runtimes, and the machine in a sentence."""

from collections.abc import Sequence

from experiments.blocks.source import Source, joined, of_each, wrapped
from experiments.table1 import table

BUSY = 0.25
"""Number of cores in use by other programs above which a result is marked."""


def runtimes(sources: Sequence[Source]) -> str:
    """Returns a table with a row per runtime, and a paragraph about each machine.

    Raises:
      ConfigError: a file is damaged.
    """
    return of_each(sources, _of, "experiments.runtimes")


def _of(result: dict) -> str:
    plain = {_name(row): row for row in result["rows"] if not row["video"]}
    videos = {_name(row): row for row in result["rows"] if row["video"]}
    stages = list(dict.fromkeys(stage for row in plain.values() for stage in row["stage_ms"]))
    header = ["runtime", "frames/s, poses and tables", "frames/s, with video"]
    header += [f"{stage}, ms" for stage in stages]
    header += [
        "memory, MB (after a tenth, largest)",
        "RMSD median / mean, px",
        "largest deviation, px",
    ]
    rows = []
    for name, row in plain.items():
        errors, memory = row["rmsd_px"]["all"], row["memory_mb"]
        video = videos.get(name)
        deviation = row["largest_deviation_px"]
        rows.append(
            [
                name,
                f"{row['frames_per_s']:.1f}",
                f"{video['frames_per_s']:.1f}" if video else "",
                *(f"{row['stage_ms'].get(stage, 0):.1f}" for stage in stages),
                f"{memory[1]:.0f}, {max(memory):.0f}",
                f"{errors['median']:.2f} / {errors['mean']:.2f}",
                "other joints found" if deviation is None else f"{deviation:.3f}",
            ]
        )
    versions = [f"{name} {v}" for name, v in result["versions"].items() if name in _NAMED]
    busy = result["load"]["busy_cores"]
    marked = f" Other programs used {busy:.1f} cores." if busy > BUSY else ""
    return table(header, rows) + wrapped(
        f"{result['frames']} frames of 640x480, {result['cores']} cores of {result['cpu']} "
        f"({result['isa']}), {joined(versions)}, commit {result['commit']}. Stages of several "
        f"threads overlap. RMSD per limb, px of 128x96, on the sample recording.{marked}"
    )


_NAMED = ("jaxpose", "jax", "onednn-cpu-gomp", "onnxruntime", "openvino")


def _name(row: dict) -> str:
    """Names a runtime, such as "jax (onednn, bfloat16)"; results before 0.3 are all float32."""
    how = [row["lowering"], row.get("precision", "float32")]
    text = ", ".join(word for word in how if word not in (None, "float32"))
    return f"{row['runtime']} ({text})" if text else row["runtime"]
