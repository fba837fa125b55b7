"""Names of data sets and settings in the plan -> what tables, pictures and files call them."""

import re

DATA = {"long": "16 infants x 1,000 frames"}
"""Data set of the plan -> its title, where its name says too little."""
SETTINGS = {"long": "four times the steps"}
"""Setting of the plan -> its title, where its name says too little."""


def place(data: str, setting: str) -> str:
    """Names a data set and a setting."""
    names = (DATA.get(data, data), SETTINGS.get(setting, setting))
    return ", ".join(name for name in names if name)


def file_name(data: str, setting: str) -> str:
    """Returns the same for the name of a file: words with hyphens between them."""
    return re.sub(r"[ ,]+", "-", place(data, setting).replace("1,000", "1000"))
