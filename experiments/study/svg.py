"""Numbers -> plots as inline SVG, in the colours of the page that contains them."""

import html
from collections.abc import Mapping, Sequence

from experiments.study import statistics
from experiments.study.statistics import Estimate

WIDTH, LEFT, RIGHT, ROW = 720, 310, 20, 26
"""Width of a plot, room for names, margin, height of a row; px."""
TICKS = 7
"""Number of ticks of an axis, about."""
LETTER = 7.2
"""Width of a letter of a name, px, at most."""
NEAR = 30
"""Distance of a name from its point, px, beyond which a line joins them."""
HOLLOW = (
    "hollow: one training (fold) of each; the interval is about other infants, not other trainings"
)
"""Legend of hollow points."""


def forest(rows: Sequence[tuple[str, Estimate]], axis: str) -> str:
    """Draws a line per estimate: its mean and interval, beside a line at 0.

    The point of an estimate that is about infants under one training alone is hollow.
    """
    ends = [0.0, *(v for _, e in rows for v in (e.low, e.high) if abs(v) < float("inf"))]
    scale = _Scale(min(ends), max(ends), LEFT, WIDTH - RIGHT)
    bottom = ROW * (len(rows) + 0.6)
    parts = [_line(scale(0), 4, scale(0), bottom, "zero")]
    for number, (name, estimate) in enumerate(rows):
        y = ROW * (number + 0.8)
        parts.append(_text(LEFT - 12, y + 4, name, "end"))
        if abs(estimate.low) < float("inf"):
            parts.append(_line(scale(estimate.low), y, scale(estimate.high), y, "interval"))
        parts.append(_dot(scale(estimate.mean), y, name, estimate))
    parts += _axis(scale, bottom, axis)
    height = bottom + 1.4 * ROW + _legend(parts, [e for _, e in rows], bottom + 1.9 * ROW)
    return _svg(height, parts, axis)


def scatter(
    costs: Mapping[str, tuple[float, float]],
    errors: Mapping[str, Estimate],
    x_axis: str,
    y_axis: str,
) -> str:
    """Draws a point per arm with its intervals; a line joins those that no other one beats.

    A cost is its middle, and by how much it spreads to either side: 0 for what is counted.
    """
    names = [name for name in errors if name in costs]
    height, left = 380, 60
    across = _Scale(0.0, 1.12 * max(sum(costs[name]) for name in names), left, WIDTH - RIGHT)
    finite = [v for name in names for v in (errors[name].low, errors[name].high, errors[name].mean)
              if abs(v) < float("inf")]  # fmt: skip
    up = _Scale(min(finite), max(finite), height - 50, 24)
    points = {name: (costs[name][0], errors[name].mean) for name in names}
    front = [points[name] for name in statistics.pareto(points)]
    path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in front)
    parts = [f'<polyline class="front" points="{path}"/>']
    ordered = sorted(names, key=lambda name: points[name])
    places = labels({name: (across(points[name][0]), up(points[name][1])) for name in ordered})
    for name in ordered:
        (cost, spread), error = costs[name], errors[name]
        x, y = across(cost), up(error.mean)
        if spread:
            parts.append(_line(across(cost - spread), y, across(cost + spread), y, "interval"))
        if abs(error.low) < float("inf"):
            parts.append(_line(x, up(error.low), x, up(error.high), "interval"))
        parts.append(_dot(x, y, f"{name}: {cost:.4g} {x_axis}", error))
    for name, (left_end, base) in places.items():
        x, y = across(points[name][0]), up(points[name][1])
        if (end := leader((x, y), (left_end, base), LETTER * len(name))) is not None:
            parts.append(_line(x, y, *end, "leader"))
        parts.append(_text(left_end, base, name, "start"))
    parts += [_text(left - 8, up(tick) + 4, f"{tick:g}", "end") for tick in up.ticks()]
    parts.append(_text(8, 14, y_axis, "start"))
    parts += _axis(across, height - 44, x_axis)
    height += _legend(parts, [errors[name] for name in names], height + 12)
    return _svg(height, parts, f"{y_axis} against {x_axis}")


def labels(
    points: Mapping[str, tuple[float, float]], width: float = WIDTH, letter: float = LETTER
) -> dict[str, tuple[float, float]]:
    """Returns where the names of points begin, (x, y) px of their base lines; y points down.

    Each name is beside its point, in the first place where it covers no point and no other name.
    `width` is that of the plot, and `letter` that of a letter.
    """
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in points.values()]
    places = {}
    for name, (x, y) in points.items():
        long = letter * len(name)
        tried = [
            (x + dx, max(10, y + dy))
            for far in (9, 40, 80)
            for dy in (-8, 16, 4, *(sign * step for step in range(20, 150, 12) for sign in (-1, 1)))
            for dx in (far, -far - long)
            if 0 <= x + dx and x + dx + long <= width
        ]
        boxes = [(left, base - 10, left + long, base + 3) for left, base in tried]
        free = [not any(_overlap(box, other) for other in taken) for box in boxes]
        best = free.index(True) if any(free) else 0
        places[name] = tried[best]
        taken.append(boxes[best])
    return places


def leader(
    point: tuple[float, float], place: tuple[float, float], long: float
) -> tuple[float, float] | None:
    """Returns where the line from a point to its name ends; None if the name is near enough."""
    left, base = place
    end = (left - 2 if left > point[0] else left + long + 2, base - 4)
    away = ((end[0] - point[0]) ** 2 + (end[1] - point[1]) ** 2) ** 0.5
    return end if away > NEAR else None


def _legend(parts: list[str], estimates: Sequence[Estimate], y: float) -> float:
    """Adds the legend of hollow points where there are any; returns the height that it takes."""
    if all(one.over_trainings for one in estimates):
        return 0.0
    parts.append(f'<circle class="hollow" cx="20" cy="{y - 4:.1f}" r="4.5"></circle>')
    parts.append(_text(30, y, HOLLOW, "start"))
    return float(ROW)


def _overlap(a: Sequence[float], b: Sequence[float]) -> bool:
    """Tells whether two boxes (left, top, right, bottom) share an area."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


class _Scale:
    """Maps numbers to px."""

    def __init__(self, low: float, high: float, start: float, end: float):
        spread = (high - low) or 1.0
        self.low, self.high = low - 0.05 * spread * (low != 0), high + 0.05 * spread
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Returns round numbers within the scale."""
        raw = (self.high - self.low) / TICKS
        power = 10.0 ** int(f"{raw:e}".split("e")[1])
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw)
        first = -int(-self.low // step)
        return [round(k * step, 10) for k in range(first, first + 2 * TICKS + 2)
                if self.low <= k * step <= self.high]  # fmt: skip


def _described(one: Estimate) -> str:
    return f"{one.mean:.3f} px, 95 % interval {one.low:.3f} to {one.high:.3f}, n = {one.infants}"


def _axis(scale: _Scale, y: float, title: str) -> list[str]:
    parts = [_line(scale.start, y, scale.end, y, "axis")]
    parts += [_text(scale(tick), y + 16, f"{tick:g}", "middle") for tick in scale.ticks()]
    return [*parts, _text((scale.start + scale.end) / 2, y + 34, title, "middle")]


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _dot(x: float, y: float, name: str, one: Estimate) -> str:
    kind = "" if one.over_trainings else 'class="hollow" '
    title = f"<title>{html.escape(f'{name}: {_described(one)}')}</title>"
    return f'<circle {kind}cx="{x:.1f}" cy="{y:.1f}" r="4.5">{title}</circle>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _svg(height: float, parts: Sequence[str], label: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{html.escape(label)}">'
        + "".join(parts)
        + "</svg>"
    )
