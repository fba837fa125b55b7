"""The study's page: self-contained, complete, sortable; and its plots."""

import html.parser
import re
import shutil
import subprocess
from base64 import b64decode

import browser
import numpy as np
import pytest
from test_study_tables import gather, study  # noqa: F401 (a fixture)

from experiments.study import claims, evidence, paper_tables, pictures, report, results, svg
from experiments.study.statistics import estimate
from jaxpose.body.skeleton import LIMBS

VOID = {"meta", "line", "polyline", "input"}


class Page(html.parser.HTMLParser):
    """Counts elements and checks that they are closed in order."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.count, self.links = [], {}, []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.count[tag] = self.count.get(tag, 0) + 1
        self.links += [v for k, v in attributes if k in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        assert tag in VOID
        self.handle_starttag(tag, attributes)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def text(study) -> str:  # noqa: F811
    return report.report(gather(study))


def test_the_page_is_whole_and_asks_the_network_for_nothing(text):
    page = Page(text)
    assert page.links == [] and "http" not in text and "@import" not in text
    # a plot of differences, one of errors against cost
    # claims, comparisons, errors, predictions, progress, and Table I of three nets
    assert page.count["svg"] == 2 and page.count["table"] == 8
    assert page.count["button"] == page.count["th"]
    assert 'name="viewport"' in text and "color-scheme: light dark" in text
    assert len(re.findall(r"<td>&quot;", text)) == len(claims.CLAIMS)


def test_without_results_the_page_says_so(study):  # noqa: F811
    for path in (study / "study").glob("*.json"):
        path.unlink()
    text = report.report(gather(study))
    page = Page(text)
    assert "svg" not in page.count and text.count("No job of this part is finished yet.") == 4


def test_the_committed_page_and_comparisons_are_what_the_committed_results_give():
    known = evidence.gather()
    folder = evidence.RESULTS / "study"
    assert (folder / "report.html").read_text() == report.report(known)
    assert (folder / "comparisons.csv").read_text() == pictures.as_csv(known)


def test_table_2_is_the_mean_over_trainings_beside_the_paper_s(study):  # noqa: F811
    for seed, median in ((0, 2.0), (1, 4.0)):
        for fold in range(3):
            path = study / "study" / f"a-simulated-asy-seed{seed}-fold{fold}of3.json"
            limbs = {limb: {"median": median, "iqr": 1.0} for limb in (*LIMBS, "all")}
            value = results.read(path) | {"errors": {"rmsd_fallback_px": limbs}}
            results.write(path, value)
    lines = paper_tables.table2(gather(study)).splitlines()
    assert f"| asy |{' 3.00 (1.00) |' * 5} 6 of 6 |" in lines
    assert not [line for line in lines if line.startswith("| full ")]  # has no such errors
    ours = "| Asy-regression | 16.90 (2.71) | 16.59 (2.43) | 16.27 (2.97) | 13.99 (4.60) |"
    assert ours in lines


FILTER = """
const field = document.querySelector(".filter input");
field.value = "TEXT";
field.dispatchEvent(new Event("input"));
return [...field.closest("div").querySelectorAll("tbody tr")]
  .filter((row) => row.getBoundingClientRect().height > 0).map((row) => row.textContent);
"""


def test_a_field_filters_the_rows_of_its_table_by_all_words(study, tmp_path):  # noqa: F811
    page = tmp_path / "report.html"
    page.write_text(report.report(gather(study)))
    with browser.browser() as opened:
        opened.open(page, browser.DESK, "light")
        rows = opened.run(FILTER.replace("TEXT", ""))
        assert len(rows) == 3
        (row,) = opened.run(FILTER.replace("TEXT", "DETECTION simul"))
        assert row.startswith("detection_asy - asy")
        assert opened.run(FILTER.replace("TEXT", "nothing")) == []
        assert opened.run(FILTER.replace("TEXT", "")) == rows


SORT = """
const table = document.querySelectorAll("table")[INDEX];
const button = table.querySelectorAll("th button")[COLUMN];
button.click();
const cells = [...table.tBodies[0].rows].map((row) => row.children[COLUMN].textContent);
return [cells, button.parentElement.getAttribute("aria-sort")];
"""
FIGURES = """
return [...document.querySelectorAll("svg")].map((figure) => {
  const box = figure.getBoundingClientRect(), text = figure.querySelector("text");
  return [box.width, box.height, getComputedStyle(text).visibility === "visible"];
});
"""


def test_the_page_works_in_a_browser(study, tmp_path):  # noqa: F811
    for path in evidence.RESULTS.glob("bench-default-*.json"):
        shutil.copy(path, study / path.name)
    page = tmp_path / "report.html"
    page.write_text(report.report(gather(study)))
    with browser.browser() as opened:
        browser.check_page(opened, page, tmp_path)
        figures = opened.run(FIGURES)
        assert len(figures) > 3  # differences, products, and several runtimes
        assert all(width > 300 and height > 50 and seen for width, height, seen in figures)
        tables = opened.run("return document.querySelectorAll('table').length")
        for index in range(tables):
            script = SORT.replace("INDEX", str(index)).replace("COLUMN", "0")
            up, direction = opened.run(script)
            assert direction == "ascending"
            down, direction = opened.run(script)
            assert direction == "descending" and sorted(down) == sorted(up)
        assert opened.messages() == []
        printed = b64decode(opened._ask("/print", {}))
        assert printed.startswith(b"%PDF") and len(printed) > 20_000


def test_columns_are_sorted_by_their_numbers_and_words_come_last(tmp_path):
    rows = "".join(f"| {cell} |\n" for cell in ("9.5 [1 to 2]", "1,310,612", "-", "-3 %", "12"))
    page = tmp_path / "page.html"
    table = report.as_html(f"| title |\n| --- |\n{rows}")
    page.write_text(f"<!doctype html>{table}<script>{report.SCRIPT}</script>")
    script = SORT.replace("INDEX", "0").replace("COLUMN", "0")
    with browser.browser() as opened:
        opened.open(page, browser.DESK, "light")
        assert opened.run(script)[0] == ["-3 %", "9.5 [1 to 2]", "12", "1,310,612", "-"]
        assert opened.run(script)[0] == ["1,310,612", "12", "9.5 [1 to 2]", "-3 %", "-"]


def test_the_script_can_be_parsed(tmp_path):
    if not (node := shutil.which("node")):
        pytest.skip("no node here")
    (tmp_path / "script.js").write_text(report.SCRIPT)
    subprocess.run([node, "--check", str(tmp_path / "script.js")], check=True)


def test_text_is_escaped_and_bold_words_are_bold():
    assert report.as_html("a < b, **c & d**") == "<p>a &lt; b, <strong>c &amp; d</strong></p>"
    assert "<li>x</li><li>y</li>" in report.as_html("- x\n- y\n")
    table = report.as_html("| a | b |\n| --- | ---: |\n| 1 | <2 |\n")
    assert "<td>1</td><td>&lt;2</td>" in table and table.count("<tr>") == 2


def numbers(text: str, element: str, *names: str) -> np.ndarray:
    found = re.findall(rf"<{element} [^>]*>", text)
    return np.array([[float(re.search(rf'\b{n}="([-\d.]+)"', f)[1]) for n in names] for f in found])


def test_a_plot_of_differences_has_every_point_within_its_interval_and_keeps_the_order():
    rows = [
        ("better", estimate([np.array([-1.0]), np.array([-1.2])])),
        ("worse", estimate([np.array([0.5]), np.array([0.7])])),
    ]
    text = svg.forest(rows, "px")
    Page(text)
    points = numbers(text, "circle", "cx", "cy")
    lines = numbers("".join(re.findall(r'<line class="interval"[^>]*>', text)), "line", "x1", "x2")
    zero = numbers("".join(re.findall(r'<line class="zero"[^>]*>', text)), "line", "x1")[0, 0]
    assert points[0, 0] < zero < points[1, 0] and points[0, 1] < points[1, 1]
    assert (lines[:, 0] < points[:, 0]).all() and (points[:, 0] < lines[:, 1]).all()
    assert (lines >= svg.LEFT - 0.1).all() and (lines <= svg.WIDTH).all()


def test_a_difference_of_one_fold_has_a_hollow_point_and_a_legend():
    folds = estimate([np.array([-1.0]), np.array([-1.2])])
    one = estimate([np.array([-1.0, -1.2])])
    several = svg.forest([("five folds", folds)], "px")
    assert "hollow" not in several
    text = svg.forest([("five folds", folds), ("one fold", one)], "px")
    Page(text)
    hollow = re.findall(r'<circle (class="hollow" )?cx[^>]*><title>([a-z ]*):', text)
    assert [(bool(kind), name) for kind, name in hollow] == [
        (False, "five folds"),
        (True, "one fold"),
    ]
    assert text.count("<circle") == 3 and svg.HOLLOW in text


def test_the_verdict_is_the_second_column_of_the_claims(text):
    header = re.search(r'class="claims".*?</tr>', text, re.DOTALL)[0]
    titles = re.findall(r"<th><button>([^<]*)", header)
    assert titles[:2] == ["the paper", "verdict"] and len(titles) == 5
    assert len(re.findall(r"<td>&quot;[^<]*</td><td><strong>", text)) == len(claims.CLAIMS)


def test_a_dozen_names_near_each_other_cover_nothing():
    points = {f"factorisation {k}": (300.0 + 2 * k, 150.0 + k % 3) for k in range(12)}
    places = svg.labels(points)
    boxes = [(x, y - 10, x + svg.LETTER * len(name), y + 3) for name, (x, y) in places.items()]
    assert not [(a, b) for k, a in enumerate(boxes) for b in boxes[:k] if svg._overlap(a, b)]
    far = [name for name in points if svg.leader(points[name], places[name], 100.0) is not None]
    assert 0 < len(far) < 12


def test_a_single_infant_has_a_point_and_no_interval():
    text = svg.forest([("one", estimate([np.array([0.3])]))], "px")
    assert "circle" in text and 'class="interval"' not in text


def test_the_front_of_error_against_cost_leaves_out_what_another_arm_beats():
    errors = {
        name: estimate([np.array([value - 0.1]), np.array([value + 0.1])])
        for name, value in (("cheap", 3.0), ("beaten", 3.5), ("dear", 2.0))
    }
    costs = {"cheap": (1.0, 0.0), "beaten": (2.0, 0.5), "dear": (3.0, 0.0)}
    text = svg.scatter(costs, errors, "ms", "px")
    Page(text)
    front = re.search(r'<polyline class="front" points="([^"]*)"', text)[1].split()
    points = numbers(text, "circle", "cx", "cy")  # by rising cost
    assert [tuple(map(float, point.split(","))) for point in front] == [
        tuple(points[0]),
        tuple(points[2]),
    ]
    assert points[2, 1] > points[0, 1]  # the lower error is lower on the page
    lines = "".join(re.findall(r'<line class="interval"[^>]*>', text))
    ends = numbers(lines, "line", "x1", "y1", "x2", "y2")
    flat = ends[ends[:, 1] == ends[:, 3]]  # of what was measured, the cost has an interval, too
    assert len(ends) == 4 and len(flat) == 1
    assert flat[0, 0] < points[1, 0] < flat[0, 2] and flat[0, 1] == points[1, 1]


def test_names_cover_neither_points_nor_each_other():
    points = {f"name {k}": (300.0 + 3 * (k % 4), 100.0 + 2 * k) for k in range(6)}
    points |= {"at the right edge": (svg.WIDTH - 20.0, 50.0)}
    places = svg.labels(points)
    boxes = [(x, y - 10, x + svg.LETTER * len(name), y + 3) for name, (x, y) in places.items()]
    assert not [(a, b) for k, a in enumerate(boxes) for b in boxes[:k] if svg._overlap(a, b)]
    dots = [(x - 5, y - 5, x + 5, y + 5) for x, y in points.values()]
    assert not any(svg._overlap(box, dot) for box in boxes for dot in dots)
    assert all(0 <= box[0] and box[2] <= svg.WIDTH for box in boxes)


@pytest.mark.parametrize(("low", "high"), [(-0.3, 0.4), (1.9, 4.1), (0.0, 0.07), (-120.0, 30.0)])
def test_an_axis_has_a_few_round_ticks(low, high):
    scale = svg._Scale(low, high, 0.0, 100.0)
    ticks = scale.ticks()
    assert 2 <= len(ticks) <= 8 and all(scale.low <= tick <= scale.high for tick in ticks)
    assert np.allclose(np.diff(ticks), ticks[1] - ticks[0])
