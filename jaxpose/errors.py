"""What the user can mend: errors whose message says how."""


class UserError(ValueError):
    """An input or an option that cannot be used. The message names it, what is expected and what to
    do; commands print it and end with exit code 2."""


class DataError(UserError):
    """An unusable file: the message names the file, and the row where there is one."""


class ModelError(UserError):
    """A model file that cannot be used: the message names the file, the reason and the remedy."""
