"""``python -m shm``: the command-line tool, with the words of the `shm` that comes with `shm-core`, whose code it is."""

from __future__ import annotations

import os
import signal
import sys

from ._shm import command_line


def main() -> int:
    """Runs the tool with this process's arguments, and returns its exit code."""
    # Ctrl-C ends it as it ends the program `shm`: Python's handler would wait for the end of the command.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    name = f"{os.path.basename(sys.executable) or 'python'} -m shm"
    return command_line([name, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
