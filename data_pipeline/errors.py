"""What is wrong with the user's data, said so that the user can mend it."""


class DataError(ValueError):
    """Names the file (and row), what was wanted and what to do; commands print it, exit code 2."""
