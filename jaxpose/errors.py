"""Errors that the user can mend; their message says how."""


class UserError(ValueError):
    """An input or an option cannot be used.

    The message says what was passed, what is expected and what to do. Commands print it and end
    with exit code 2.
    """


class DataError(UserError):
    """A data file cannot be used. The message names the file, and the row where there is one."""


class ModelError(UserError):
    """A model file cannot be used. The message names the file, the reason and the remedy."""
