"""A cell of a workbook, its format -> whether its text is struck through, or not shown."""

import re

_LITERAL = re.compile(r'"([^"]*)"|\\(.)|\s')
"""What a number format shows as it is: text in quotes, a character after a backslash, blanks."""


def is_crossed(cell, value) -> bool:
    """Tells whether the text of a cell of openpyxl is struck through, or not shown by its format.

    `value` is what the cell shows: its own value, or that of its formula.
    """
    if cell.value is None:
        return False
    return bool(cell.font.strike) or _hides(cell.number_format, isinstance(value, str))


def crosses(style) -> bool:
    """Tells whether the style of a conditional format strikes text through, or does not show it."""
    if style.font and style.font.strike:
        return True
    return bool(style.numFmt) and _hides(style.numFmt.formatCode, is_text=True)


def _hides(number_format: str, is_text: bool) -> bool:
    """Tells whether a number format shows nothing, or something else in the place of a text.

    The sections of `0;-0;0;@` are for numbers above 0, below 0, for 0, and for text, which is shown
    where the @ is.
    """
    sections = _LITERAL.sub(_mark, number_format).split(";")
    if is_text and len(sections) == 4:
        return "@" not in sections[3] and "general" not in sections[3].lower()
    return number_format != "" and not any(sections)


def _mark(literal: re.Match) -> str:
    """Returns a mark for a literal that is seen, nothing for a blank."""
    return "!" if (literal[1] or literal[2] or "").strip() else ""
