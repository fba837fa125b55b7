"""Everything that a workbook can hold beside plain cells is read, or refused with what to do."""

import re
import tracemalloc
import zipfile
from datetime import datetime

import openpyxl
import pytest
from babypose_folder import read_csv, to_xlsx, write_folder
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont
from openpyxl.chart import BarChart
from openpyxl.formatting.rule import FormulaRule
from openpyxl.styles import Font, PatternFill
from openpyxl.styles.differential import DifferentialStyle
from openpyxl.styles.numbers import NumberFormat

from data_pipeline.babypose.sheets import read_sheet
from data_pipeline.babypose.workbook import MOST_BYTES


@pytest.fixture
def rows(tmp_path):
    """The cells of a sound sheet of six frames, header first."""
    return read_csv(write_folder(tmp_path / "in") / "result_pz1.csv")


@pytest.fixture
def path(tmp_path, rows):
    return to_xlsx(tmp_path / "in" / "result_pz1.csv")


def read(path) -> tuple:
    """A sheet, and its problems as (row, text)."""
    problems = []
    sheet = read_sheet(path, problems.append)
    return sheet, [(problem.row, problem.what) for problem in problems]


def change(path, edit) -> None:
    workbook = openpyxl.load_workbook(path)
    edit(workbook)
    workbook.save(path)


def rewrite(path, edit) -> None:
    """Applies `edit` to a workbook's parts, a dict of bytes."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    edit(parts)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def column(rows, name: str) -> int:
    """Number of a column in a worksheet, from 1."""
    return rows[0].index(name) + 1


def test_a_formula_without_a_stored_value_is_a_problem_of_its_row(path, rows):
    hand = column(rows, "left_hand")
    change(path, lambda book: book.active.cell(3, hand, '=A1&","&B1'))
    sheet, problems = read(path)
    assert [row for row, _ in problems] == [3] and 3 not in sheet.rows
    assert "left_hand is the formula" in problems[0][1] and "save it" in problems[0][1]


def test_a_formula_counts_with_its_stored_value(path, rows, tmp_path):
    hand = column(rows, "left_hand")
    change(path, lambda book: book.active.cell(3, hand, '=A1&","&B1'))
    stored = tmp_path / "stored.xlsx"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(stored, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "xl/worksheets/sheet1.xml":
                cell = rb'<c r="([A-Z]+3)"[^>]*><f>(.*?)</f><v ?/?>(</v>)?</c>'
                data, count = re.subn(cell, rb'<c r="\1" t="str"><f>\2</f><v>7,9</v></c>', data)
                assert count == 1
            new.writestr(name, data)
    stored.replace(path)
    sheet, problems = read(path)
    assert not problems
    row = list(sheet.rows).index(3)
    assert [7, 9] in sheet.joints[row].tolist()


def test_the_table_is_found_behind_a_cover_and_notes_beside_it_do_not_count(path):
    expected, _ = read(path)

    def edit(book):
        cover = book.create_sheet("cover", 0)
        cover["B2"] = "annotated by A. B."
        book.create_sheet("clicks")["A1"] = 12

    change(path, edit)
    sheet, problems = read(path)
    assert not problems and sheet.joints.tolist() == expected.joints.tolist()


def test_two_tables_in_one_workbook_are_refused(path):
    def edit(book):
        book.copy_worksheet(book.active).title = "second reader"

    change(path, edit)
    sheet, problems = read(path)
    assert sheet is None and "'second reader'" in problems[0][1] and "keep one" in problems[0][1]


def test_merged_cells_are_refused_because_all_but_one_are_empty(path):
    change(path, lambda book: book.active.merge_cells("C3:C4"))
    sheet, problems = read(path)
    assert sheet is None and "C3:C4" in problems[0][1]


def cross_out(cell) -> None:
    cell.font = Font(strike=True)


def cross_out_a_part(cell) -> None:
    x, y = cell.value.split(",")
    struck, other = InlineFont(strike=True), InlineFont(b=True)
    cell.value = CellRichText(TextBlock(other, f"{x},"), TextBlock(struck, y))


def show(number_format: str):
    """Gives a cell a number format."""
    return lambda cell: setattr(cell, "number_format", number_format)


@pytest.mark.parametrize(
    "how",
    [
        cross_out,
        cross_out_a_part,
        show(";;;"),
        show('"";"";"";""'),
        show('"" ; "" ; "" ; " "'),
        show('""'),
        show("0;-0;0;"),
        show('0;-0;0;"@"'),
    ],
)
def test_text_that_is_struck_through_is_refused_because_nobody_knows_if_it_counts(path, rows, how):
    hand = column(rows, "left_hand")
    change(path, lambda book: how(book.active.cell(4, hand)))
    sheet, problems = read(path)
    place = openpyxl.utils.get_column_letter(hand) + "4"
    ((_, words),) = problems
    assert f"the cells {place} are struck through or not shown, 1 in all" in words


def test_other_fonts_and_formats_and_cells_without_text_do_not_count(path, rows):
    expected, _ = read(path)
    hand = column(rows, "left_hand")

    def edit(book):
        book.active.cell(4, hand).font = Font(bold=True, color="FF0000")
        for row, number_format in enumerate(["@", "0;-0;;@", '0;-0;"";"at "@'], start=5):
            book.active.cell(row, hand).number_format = number_format
        cell = book.active.cell(3, hand)
        x, y = cell.value.split(",")
        blank, struck = TextBlock(InlineFont(strike=True), " "), InlineFont(strike=False)
        cell.value = CellRichText(x, blank, TextBlock(struck, f",{y}"))
        book.active.cell(4, len(rows[0]) + 3).font = Font(strike=True)

    change(path, edit)
    sheet, problems = read(path)
    assert not problems
    assert (sheet.joints == expected.joints).all()


def share_strings(parts) -> None:
    """Moves the text of all cells into the part for strings, as spreadsheet programs do."""
    strings = []

    def share(cell: re.Match) -> bytes:
        strings.append(cell[2])
        return b't="s"%b><v>%d</v>' % (cell[1], len(strings) - 1)

    name = "xl/worksheets/sheet1.xml"
    parts[name] = re.sub(rb't="inlineStr"([^>]*)><is>(.*?)</is>', share, parts[name])
    assert len(strings) > 6 and b"inlineStr" not in parts[name]
    parts["xl/sharedStrings.xml"] = (
        b'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">%b</sst>'
        % b"".join(b"<si>%b</si>" % string for string in strings)
    )
    types = "[Content_Types].xml"
    if b"sharedStrings" not in parts[types]:
        override = (
            b'<Override PartName="/xl/sharedStrings.xml" ContentType="application/vnd.'
            b'openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"/></Types>'
        )
        parts[types] = parts[types].replace(b"</Types>", override)


def drop_references(parts) -> None:
    """Leaves out where rows and cells are, which a workbook may."""
    name = "xl/worksheets/sheet1.xml"
    parts[name], count = re.subn(rb'<(c|row) r="[A-Z]*\d+"', rb"<\1", parts[name])
    assert count > 6


@pytest.mark.parametrize("edit", [share_strings, drop_references])
def test_text_inside_of_a_cell_is_looked_at_however_the_file_is_written(path, rows, edit):
    expected, _ = read(path)
    rewrite(path, edit)
    sheet, problems = read(path)
    assert not problems and sheet.joints.tolist() == expected.joints.tolist()
    hand = column(rows, "left_hand")
    change(path, lambda book: cross_out_a_part(book.active.cell(4, hand)))
    rewrite(path, edit)
    sheet, ((_, words),) = read(path)
    place = openpyxl.utils.get_column_letter(hand) + "4"
    assert sheet is None and f"the cells {place} are struck through or not shown, 1 in" in words


def when(style: DifferentialStyle, cells: str):
    """Adds a conditional format to a worksheet, which is for no cell at present."""
    rule = FormulaRule(formula=["FALSE"], font=style.font)
    rule.dxf = style
    return lambda book: book.active.conditional_formatting.add(cells, rule)


@pytest.mark.filterwarnings("ignore:Failed to load a conditional")  # of a whole column
@pytest.mark.parametrize(
    "style",
    [
        DifferentialStyle(font=Font(strike=True)),
        DifferentialStyle(numFmt=NumberFormat(numFmtId=164, formatCode=";;;")),
    ],
)
def test_a_conditional_format_that_crosses_out_is_refused(path, style):
    change(path, when(style, "Z2:Z9 C3:D1048576 F1:F9"))
    name = "xl/worksheets/sheet1.xml"
    rewrite(path, lambda parts: parts.update({name: parts[name].replace(b"F1:F9", b"F:F")}))
    sheet, ((_, words),) = read(path)
    assert sheet is None and "a conditional format of the cells C3:D1048576, F:F strikes" in words


@pytest.mark.parametrize(
    "style, cells",
    [
        (DifferentialStyle(font=Font(b=True), fill=PatternFill(bgColor="FFFF00")), "B2:F9"),
        (DifferentialStyle(font=Font(strike=False)), "B2:F9"),
        (DifferentialStyle(font=Font(strike=True)), "Z2:Z9"),
        (DifferentialStyle(font=Font(strike=True)), "B9:C20"),
    ],
)
def test_other_conditional_formats_and_those_beside_the_table_do_not_count(path, style, cells):
    expected, _ = read(path)
    change(path, when(style, cells))
    sheet, problems = read(path)
    assert not problems and sheet.joints.tolist() == expected.joints.tolist()


def test_hidden_rows_are_refused_because_nobody_sees_that_they_are_read(path):
    def edit(book):
        book.active.row_dimensions[4].hidden = True

    change(path, edit)
    sheet, problems = read(path)
    assert sheet is None and "row 4" in problems[0][1]


@pytest.mark.parametrize(
    "hide, words",
    [
        (lambda sheet: setattr(sheet.column_dimensions["C"], "hidden", True), "column C is hidden"),
        (lambda sheet: sheet.column_dimensions.group("B", "E", hidden=True), "column C is hidden"),
        (lambda sheet: setattr(sheet, "sheet_state", "hidden"), "is hidden; show it"),
        (lambda sheet: setattr(sheet.sheet_format, "zeroHeight", True), "the first is row 1"),
    ],
)
def test_whatever_else_hides_annotations_is_refused(path, hide, words):
    def edit(book):
        book.create_sheet("notes")  # a workbook needs a worksheet that is visible
        hide(book.worksheets[0])

    change(path, edit)
    sheet, problems = read(path)
    assert sheet is None and words in problems[0][1]


def dragged(book):
    book.active.column_dimensions["C"].width = 7.5
    book.active.row_dimensions[4].height = 7.5


@pytest.mark.parametrize(
    "size, words", [(b'width="7.5"', "column C is hidden"), (b'ht="7.5"', "the first is row 4")]
)
def test_a_column_without_width_and_a_row_without_height_are_refused(path, size, words):
    change(path, dragged)
    name = "xl/worksheets/sheet1.xml"

    def edit(parts):
        assert size in parts[name]
        parts[name] = parts[name].replace(size, size.replace(b"7.5", b"0"))

    rewrite(path, edit)
    sheet, problems = read(path)
    assert sheet is None and words in problems[0][1]


def test_a_hidden_column_that_is_not_read_does_not_count(path, rows):
    head = openpyxl.utils.get_column_letter(column(rows, "head"))
    change(path, lambda book: setattr(book.active.column_dimensions[head], "hidden", True))
    sheet, problems = read(path)
    assert not problems and len(sheet.rows) == 6


def test_merged_cells_beside_the_table_do_not_count(path):
    change(path, lambda book: book.active.merge_cells("T2:U3"))
    sheet, problems = read(path)
    assert not problems and len(sheet.rows) == 6


@pytest.mark.parametrize("cells", [["image", "name of the frame"], ["Image", "ok?", "by whom"]])
def test_a_worksheet_that_only_has_the_word_image_is_no_table(path, cells):
    change(path, lambda book: book.create_sheet("legend").append(cells))
    remarks = []
    sheet = read_sheet(path, lambda problem: pytest.fail(str(problem)), remarks.append)
    assert len(sheet.rows) == 6
    assert [remark.what for remark in remarks] == [
        "the worksheet 'legend' has content that is not read; look at it"
    ]


def test_a_hidden_column_beside_the_table_does_not_count(path):
    expected, _ = read(path)
    change(path, lambda book: setattr(book.active.column_dimensions["AZ"], "hidden", True))
    sheet, problems = read(path)
    assert not problems and sheet.joints.tolist() == expected.joints.tolist()


def test_annotations_under_other_names_on_a_second_worksheet_are_not_dropped(path, rows):
    def edit(book):
        other = book.create_sheet("second half")
        other.append(["Image name", "left hand", "right hand"])
        other.append(["17_8bit.png", "3,4", "5,6"])

    change(path, edit)
    sheet, problems = read(path)
    assert sheet is None and "'second half'" in problems[0][1] and "keep one" in problems[0][1]


def test_a_title_above_the_header_is_named(path):
    change(path, lambda book: (book.active.insert_rows(1), book.active.cell(1, 1, "Ward 3")))
    sheet, problems = read(path)
    assert sheet is None
    assert problems == [(1, "the names of the columns are in row 2; delete the rows above")]


def test_a_formula_for_several_cells_is_its_text(path, rows):
    from openpyxl.worksheet.formula import ArrayFormula

    hand = column(rows, "left_hand")
    formula = ArrayFormula(f"{openpyxl.utils.get_column_letter(hand)}3", "=A1:A2")
    change(path, lambda book: book.active.cell(3, hand, formula))
    _, problems = read(path)
    assert [row for row, _ in problems] == [3] and "is the formula '=A1:A2'" in problems[0][1]


@pytest.mark.parametrize(
    "value", ["#N/A", datetime(2026, 1, 2), 280.346, 280346, "280;346", "280,346,1", "x,y"]
)
def test_a_cell_that_is_no_position_is_a_problem_of_its_row(path, rows, value):
    change(path, lambda book: book.active.cell(5, column(rows, "right_foot"), value))
    sheet, problems = read(path)
    assert [row for row, _ in problems] == [5] and "right_foot is " in problems[0][1]
    assert len(sheet.rows) == 5


def test_a_comment_or_a_colour_changes_nothing(path):
    expected, _ = read(path)

    def edit(book):
        book.active["B2"].comment = openpyxl.comments.Comment("look again", "A. B.")
        book.active["B3"].fill = PatternFill("solid", fgColor="FFFF00")

    change(path, edit)
    sheet, problems = read(path)
    assert not problems and sheet.joints.tolist() == expected.joints.tolist()


def test_a_far_cell_that_was_only_coloured_takes_no_memory(path):
    expected, _ = read(path)

    def edit(book):
        book.active.cell(1048576, 16384).fill = PatternFill("solid", fgColor="FFFF00")

    change(path, edit)
    tracemalloc.start()
    sheet, problems = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert not problems and sheet.joints.tolist() == expected.joints.tolist()
    assert peak < 2**26  # 5 GB before


def test_a_workbook_that_unpacks_to_more_than_the_limit_is_refused_before_it_is_read(path):
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("xl/worksheets/sheet2.xml", bytes(MOST_BYTES))
    sheet, problems = read(path)
    assert sheet is None and "MiB once unpacked" in problems[0][1]


def test_a_picture_in_a_workbook_does_not_count(path):
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("xl/media/image1.bin", bytes(MOST_BYTES))
    sheet, problems = read(path)
    assert not problems and len(sheet.rows) == 6


def test_many_empty_cells_with_a_format_are_read_within_little_memory_or_refused(path):
    def styled(rows):
        fill = PatternFill("solid", fgColor="FFFF00")
        return lambda book: [
            setattr(book.active.cell(row, column), "fill", fill)
            for row in range(10, 10 + rows)
            for column in range(1, 7)
        ]

    change(path, styled(20_000))
    tracemalloc.start()
    sheet, problems = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert not problems and len(sheet.rows) == 6
    assert peak < 2**24


def test_what_is_not_read_is_remarked_upon(path):
    def edit(book):
        book.active["B2"].comment = openpyxl.comments.Comment("look again", "A. B.")
        book.active["D4"] = None
        book.create_sheet("corrections")["A1"] = "frame 6: left hand 3,4"
        book.create_chartsheet("chart", 0).add_chart(BarChart())

    change(path, edit)
    remarks = []
    sheet = read_sheet(path, lambda problem: pytest.fail(str(problem)), remarks.append)
    assert len(sheet.rows) == 6
    assert [(remark.row, remark.what) for remark in remarks] == [
        (None, "the worksheet 'corrections' has content that is not read; look at it"),
        (None, "comments at B2 are not read; look at them"),
        (4, "empty cells count as missing joints: 1; write -1,-1 there"),
    ]


@pytest.mark.parametrize(
    "content, words",
    [
        (bytes.fromhex("d0cf11e0a1b11ae1") + bytes(512), "with a password"),
        (b"", "not an Excel workbook"),
        (b"image;head\n1_8bit.png;1,1\n", "not an Excel workbook"),
    ],
)
def test_other_files_by_the_name_of_a_workbook_are_refused(path, content, words):
    path.write_bytes(content)
    sheet, problems = read(path)
    assert sheet is None and words in problems[0][1]


def test_a_workbook_cut_anywhere_is_refused(path):
    whole = path.read_bytes()
    for share in (0.1, 0.5, 0.9, 0.99):
        path.write_bytes(whole[: int(share * len(whole))])
        sheet, problems = read(path)
        assert sheet is None and "not an Excel workbook" in problems[0][1]
