"""The errors of `jaxpose.errors` that commands print."""

from jaxpose.errors import DataError, UserError

__all__ = ["DataError", "UserError"]
