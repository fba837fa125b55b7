"""Evidence -> report.html, one file that needs nothing else: no network, no fonts, no library.

Its colours follow the reader's light or dark setting; tables scroll within the page, and are sorted
by a click on a column's title.
"""

import html
import re

from experiments.study import claims, fronts, paper_tables, splits, svg, texts
from experiments.study.evidence import Evidence
from experiments.study.titles import place

STYLE = """
:root { color-scheme: light dark; --line: #8886; --accent: light-dark(#1f6feb, #79b8ff); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 0 auto; padding: 1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.85rem; margin: 0.5rem 0; }
th, td { padding: 0.3rem 0.6rem; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; font-variant-numeric: tabular-nums; }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid var(--accent); }
th[aria-sort="ascending"] button::after { content: " \\2191"; }
th[aria-sort="descending"] button::after { content: " \\2193"; }
.filter input { font: inherit; width: 10rem; }
svg { max-width: 100%; min-width: 34rem; height: auto; font-size: 12px; }
svg text { fill: currentColor; paint-order: stroke; stroke: Canvas; stroke-width: 3px; }
svg line { stroke: currentColor; }
svg .interval { stroke: var(--accent); stroke-width: 2; }
svg .zero { stroke-dasharray: 3 3; opacity: 0.6; }
svg .front { fill: none; stroke: var(--accent); opacity: 0.5; }
svg .leader { opacity: 0.4; stroke-width: 0.7; }
svg circle { fill: var(--accent); }
svg .hollow { fill: Canvas; stroke: var(--accent); stroke-width: 2; }
.claims td { min-width: 8rem; }
.claims td:nth-child(2) { min-width: 5rem; }
.claims td:nth-child(4) { min-width: 18rem; }
@media (max-width: 45rem) { body { padding: 0.5rem; } table { font-size: 0.75rem; }
  th, td { padding: 0.25rem 0.35rem; } td:first-child { max-width: 9rem; overflow-wrap: anywhere; }
  .claims td { min-width: 7rem; } .claims td:nth-child(2) { min-width: 4rem; }
  .wide th:first-child, .wide td:first-child { position: sticky; left: 0; background: Canvas; }
  .wide td { min-width: 3.2rem; } .wide td:first-child { min-width: 7rem; } }
.plots { display: grid; gap: 0 2rem; }
@media (min-width: 75rem) { .plots { grid-template-columns: 1fr 1fr; } }
.plots .scroll { min-width: 0; }
tr, svg { break-inside: avoid; }
@media print { :root { color-scheme: light; } .filter { display: none; }
  .scroll { overflow: visible; }
  th button::after { content: none; } table { font-size: 0.7rem; } svg { min-width: 0; } }
"""
FRONT = (
    "Points have 95 % intervals; the line joins the nets that no other one beats in both cost and "
    "error, and says nothing about differences within the intervals."
)
"""Caption of the plots of error against cost."""
SCRIPT = """
for (const field of document.querySelectorAll(".filter input")) {
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\\s+/);
    for (const row of field.closest("div").querySelectorAll("tbody tr")) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  });
}
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement, row = head.parentElement, table = row.closest("table");
    const column = [...row.children].indexOf(head);
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of row.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const value = (line) => line.children[column].textContent.trim();
    const number = (line) => parseFloat(value(line).replace(/,(?=\\d{3})/g, ""));
    const compare = (a, b) => {
      const [x, y] = [number(a), number(b)];
      if (isNaN(x) !== isNaN(y)) return isNaN(x) ? 1 : -1; // words after numbers, always
      const order = isNaN(x) ? value(a).localeCompare(value(b)) : x - y;
      return up ? order : -order;
    };
    const body = table.tBodies[0];
    body.append(...[...body.rows].sort(compare));
  });
}
"""


def report(evidence: Evidence) -> str:
    """Returns the page."""
    sections = [
        ("The question", as_html(claims.central(evidence))),
        ("The paper's claims", _claims(evidence)),
        ("Comparisons", _forest(evidence) + _wide(texts.compared(evidence))),
        ("Error against cost", _scatters(evidence)),
        ("Errors", _wide(texts.errors(evidence))),
        ("The paper's split, and the order of rows", as_html(splits.text(evidence))),
        ("Predictions", as_html(texts.predictions(evidence))),
        ("Table II: errors per limb", _wide(paper_tables.table2(evidence) or texts.NOTHING)),
        ("Table I: layers and costs at the paper's sizes", _wide(paper_tables.table1())),
        ("Progress", as_html(texts.progress(evidence))),
    ]
    body = "\n".join(f"<h2>{html.escape(title)}</h2>\n{text}" for title, text in sections)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>jaxpose: the study</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        "<h1>Do asymmetric 3-D convolutions buy anything?</h1>\n"
        "<p>Simulated infants are simulated, and UTD-MHAD's people are standing adults: nothing "
        "here says how well any net does on real infants.</p>\n"
        f"{body}\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _claims(evidence: Evidence) -> str:
    table = moved(claims.claims_table(evidence), "verdict", 1)
    return f'<div class="claims">{as_html(table)}</div>'


def _wide(text: str) -> str:
    """Returns tables with a field that filters rows; on a phone their first columns stay."""
    field = '<label class="filter">rows with <input type="search"></label>'
    return f'<div class="wide">{field}{as_html(text)}</div>'


def _forest(evidence: Evidence) -> str:
    rows = [
        (
            f"{one.comparison.ours} - {one.comparison.theirs}, {place(one.data, one.setting)}",
            one.differences["all"],
        )
        for one in evidence.compared
    ]
    if not rows:
        return ""
    axis = "difference of mean errors, px of 128x96; left of 0 the first net is better"
    return f'<div class="scroll">{svg.forest(rows, axis)}</div>'


def _scatters(evidence: Evidence) -> str:
    """Draws the errors of every data set and setting against counted and measured costs.

    There is a plot for the products, and one for every runtime and type that was measured.
    """
    parts = []
    for key, group in evidence.groups.items():
        if (front := fronts.front(group)) is None:
            continue
        errors = front.errors
        costs = {"useful GMAC of the regression net per clip": fronts.gmacs(front.group)}
        for name, times in fronts.times(evidence, front.group).items():
            costs[f"{name}: forward pass of 1 clip, ms (median, half of the IQR)"] = times
        parts.append(
            f"<h3>{html.escape(place(*key))}</h3>\n<p>{html.escape(front.note)} {FRONT}</p>"
        )
        parts.append('<div class="plots">\n')
        for axis, values in costs.items():
            plot = svg.scatter(values, errors, axis, "RMSD, px of 128x96")
            parts.append(f'<div class="scroll">{plot}</div>\n')
        parts.append("</div>\n")
        if len(costs) == 1:
            parts.append("<p>Times at this size: not measured.</p>\n")
    return "".join(parts) or f"<p>{html.escape(texts.NOTHING)}</p>"


def moved(text: str, title: str, place: int) -> str:
    """Moves the column of a Markdown table that has a title to another place, from 0."""
    lines = text.splitlines()
    rows = [line[2:-2].split(" | ") if line.startswith("| ") else None for line in lines]
    column = next(row.index(title) for row in rows if row is not None)
    for number, row in enumerate(rows):
        if row is not None:
            row.insert(place, row.pop(column))
            lines[number] = f"| {' | '.join(row)} |"
    return "\n".join(lines)


def as_html(text: str) -> str:
    """Converts the Markdown that this package writes: tables, lists, paragraphs, bold words."""
    parts = []
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = block.splitlines()
        if lines[0].startswith("| "):
            parts.append(_table(lines))
        elif lines[0].startswith("- "):
            items = "".join(f"<li>{_inline(line[2:])}</li>" for line in lines)
            parts.append(f"<ul>{items}</ul>")
        else:
            parts.append(f"<p>{_inline(' '.join(lines))}</p>")
    return "\n".join(parts)


def _table(lines: list[str]) -> str:
    header, _, *rows = ([cell.strip() for cell in line[1:-1].split("|")] for line in lines)
    titles = "".join(f"<th><button>{_inline(cell)}</button></th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{_inline(cell)}</td>" for cell in row) + "</tr>\n" for row in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{titles}</tr></thead>\n'
        f"<tbody>\n{body}</tbody></table></div>"
    )


def _inline(text: str) -> str:
    """Escapes text, and converts bold words."""
    return re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", html.escape(text))
