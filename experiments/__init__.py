"""Trainings, measurements and tables: the commands `python -m experiments...`."""

from jaxpose.starting import end_at_once

end_at_once("-m")
