"""Records, quality and pictures -> report.html: one file for people, without scripts."""

import base64
import csv
import html
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from jaxpose.body.skeleton import JOINTS, LIMBS
from jaxpose.files import write_text
from jaxpose.outputs.colours import web_colour, words
from jaxpose.outputs.usable import positions

POINTS = 800
"""Largest number of points of a trace."""
STYLE = """
:root{color-scheme:light dark;--ink:#222;--paper:#fff;--line:#ccc;--r:#c0392b;--l:#1f77b4}
@media(prefers-color-scheme:dark){
:root{--ink:#ddd;--paper:#161616;--line:#444;--r:#ff7b6b;--l:#6bb8ff}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);
max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin-bottom:1rem}
td,th{padding:.2rem .5rem;text-align:right;border-bottom:1px solid var(--line);
overflow-wrap:anywhere}
td:first-child,th:first-child{text-align:left;padding-left:0}
h1,p{overflow-wrap:anywhere}
.wide{overflow-x:auto}
img,video{max-width:100%}
figure{display:inline-block;margin:.3rem 1% .3rem 0;width:min(14rem,47%)}
svg{width:100%;height:8rem;border:1px solid var(--line)}
polyline{fill:none;stroke-width:1;vector-effect:non-scaling-stroke}
.warning{border-left:.3rem solid var(--r);padding-left:.7rem}
.key{background:#000;padding:.1rem .5rem}
.key span{margin:0 .3rem;white-space:nowrap}
.r{stroke:var(--r)}.l{stroke:var(--l)}
"""
COMPARED = ("path_length", "speed_median", "speed_noise_floor", "time_moving")


def write_report(
    out: Path, records: np.ndarray, result: dict, pictures: list[tuple[int, np.ndarray]]
) -> None:
    """Writes report.html beside kinematics.csv, which it reads, and overlay.mp4, if it is there."""
    name = html.escape(Path(result["recording"]).name)
    video = ""
    if (out / "overlay.mp4").exists():
        video = '<video src="overlay.mp4" controls muted loop></video>'
    with open(out / "kinematics.csv", newline="", encoding="utf-8") as file:
        whole = [row for row in csv.DictReader(file) if row["window"] == "whole"]
    body = "\n".join(
        [
            f"<h1>Poses of {name}</h1>",
            "<p>Research use: this is no medical device, and no diagnosis.</p>",
            *(f'<p class="warning">{html.escape(text)}</p>' for text in result["warnings"]),
            _facts(result),
            video,
            "<h2>Pictures</h2>",
            *map(_picture, pictures),
            _key(),
            "<h2>What can be used</h2>",
            _limbs(result),
            _coverage(result),
            "<h2>Traces</h2>",
            "<p>Right red, left blue; position from the recording's median.</p>",
            *_traces(records),
            "<h2>Right and left</h2>",
            _comparison(whole),
        ]
    )
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head += f"<title>Poses of {name}</title><style>{STYLE}</style>"
    page = f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'
    write_text(out / "report.html", page)


def _facts(result: dict) -> str:
    facts = {
        "recording": result["recording"],
        "frames": result["frames"],
        "seconds": result["duration_s"],
        "frames that are absent": result["frames_absent"],
        "frames that could not be read": result["frames_unreadable"],
        "model": result["model"][:12],
        "confidence": _confidence(result),
        "turned by": f"{result['view']['turn']} degrees",
        "the head points to": result["orientation"]["head_towards"] or "not known",
    }
    return _table(["", ""], [[name, value] for name, value in facts.items()])


def _confidence(result: dict) -> str:
    """Says what confidence means here, and from where a joint counts."""
    limits = result["thresholds"]
    if result["confidence"] == "uncalibrated":
        return "uncalibrated: the height of a map, no probability"
    return (
        f"calibrated: a joint below {limits['weak_from']:.2f} is missing, below "
        f"{limits['found_from']:.2f} weak; {100 * result['joints_weak_share']:.0f} % are weak"
    )


def _limbs(result: dict) -> str:
    rows = [
        [name, f"{100 * limb['share']:.0f} %", "yes" if limb["include"] else limb["reason"]]
        for name, limb in result["limbs"].items()
    ]
    return _table(["limb", "time with all joints found", "used"], rows)


def _coverage(result: dict) -> str:
    rows = [
        [joint, f"{100 * result['coverage'][joint]:.0f} %", f"{result['longest_gap_s'][joint]:.2f}"]
        for joint in JOINTS
    ]
    return _table(["joint", "found or weak", "longest gap, s"], rows)


def _comparison(whole: list[dict]) -> str:
    """Returns a table of wrists and ankles, and the asymmetry of each pair."""
    values = {(row["part"], row["measure"]): row for row in whole}
    rows = []
    for pair in ("wrist", "ankle"):
        for measure in COMPARED:
            sides = [values.get((f"{side}_{pair}", measure)) for side in ("right", "left")]
            if None not in sides:
                shown = [_shown(side) for side in sides]
                rows.append([f"{pair}, {measure.replace('_', ' ')}, {sides[0]['unit']}", *shown])
        index = values.get((pair, "asymmetry_index"))
        if index is not None:
            rows.append([f"{pair}, asymmetry index", _shown(index), ""])
    return _table(["", "right", "left"], rows)


def _shown(row: dict) -> str:
    """Returns a value of kinematics.csv for people, or why there is none.

    It has three digits, or where it is larger, those of a whole number.
    """
    if not row["value"]:
        return f"not measured: {row['reason']}"
    value = float(row["value"])
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _traces(records: np.ndarray) -> Iterable[str]:
    """Yields a drawing per axis of wrists and ankles."""
    values, unit = positions(records)
    time_s = records["time_s"]
    step = max(1, -(-len(records) // POINTS))
    for pair in ("wrist", "ankle"):
        for axis, name in enumerate("xy"):
            both = [values[:, JOINTS.index(f"{s}_{pair}"), axis] for s in ("right", "left")]
            both = [v - np.nanmedian(v) if np.isfinite(v).any() else v for v in both]
            known = np.concatenate([v[np.isfinite(v)] for v in both])
            if not len(known):
                continue
            largest = max(float(np.abs(known).max()), 1e-6)
            lines = "".join(
                _lines(time_s[::step] - time_s[0], side[::step] / largest, css)
                for side, css in zip(both, "rl", strict=True)
            )
            seconds = max(float(time_s[-1] - time_s[0]), 1e-6)
            yield (
                f"<p>{pair}, {name}, within {largest:.0f} {unit}, {seconds:.1f} s</p>"
                f'<svg viewBox="0 -1.05 {seconds:.3f} 2.1" preserveAspectRatio="none">{lines}</svg>'
            )


def _lines(seconds: np.ndarray, heights: np.ndarray, css: str) -> str:
    """Returns a line per stretch without a gap."""
    known = np.concatenate([[False], np.isfinite(heights), [False]])
    edges = np.flatnonzero(known[1:] != known[:-1])
    lines = []
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        pairs = zip(seconds[first:end], heights[first:end], strict=True)
        points = " ".join(f"{t:.3f},{h:.4f}" for t, h in pairs)
        lines.append(f'<polyline class="{css}" points="{points}"/>')
    return "".join(lines)


def _picture(picture: tuple[int, np.ndarray]) -> str:
    number, image = picture
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])
    source = f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"
    caption = f"<figcaption>frame {number}</figcaption>"
    return f'<figure><img src="{source}" alt="frame {number}">{caption}</figure>'


def _key() -> str:
    """Returns the limbs' names in their colours, on black as in the pictures."""
    names = " ".join(
        f'<span style="color:{web_colour(limb)}">{words(limb)}</span>' for limb in LIMBS
    )
    return f'<p>Colours of the infant\'s own limbs: <span class="key">{names}</span></p>'


def _table(head: list[str], rows: list[list]) -> str:
    cells = "".join(f"<th>{html.escape(str(cell))}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><tr>{cells}</tr>{body}</table></div>'
