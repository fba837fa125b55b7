"""Ctrl-C while a command's modules are still being imported.

An interrupt that Python raises inside an import can be swallowed, be printed as a traceback, or
crash a library that is half loaded. Until `jaxpose.commands.run_command` begins, commands are
therefore ended by the system, at once and without a word.
"""

import signal
import sys
import threading
from pathlib import Path


def end_at_once(program: str) -> None:
    """Lets Ctrl-C end this process at once if it was started as `program`.

    `program` is the name of a console command, or -m for `python -m` of a module in the package
    that calls this while it is imported. In other processes, such as a notebook, nothing changes.
    """
    started_as = Path(sys.argv[0]).name if getattr(sys, "argv", None) else ""
    main = threading.current_thread() is threading.main_thread()
    if started_as == program and main:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
