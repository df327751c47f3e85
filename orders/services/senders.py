"""Who holds a claim, and whether that process still exists.

A lease outlasts the longest send twice over, so a killed sender would leave its order in doubt for the whole
of it. A sender on this machine whose process is gone cannot write any more: its claims need no such wait.
"""

import os
import socket
import sys
from functools import cache


def mark_of_this_process() -> str:
    """Return host, process namespace and process id: containers may share a host's name, not its ids."""
    return f"{_machine()}/{os.getpid()}"


def is_gone(mark: str) -> bool:
    """Tell whether the process of a mark certainly ended. False for other machines and when in doubt."""
    machine, _, number = mark.rpartition("/")
    if machine != _machine() or not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


@cache
def _machine() -> str:
    namespace = os.stat("/proc/self/ns/pid").st_ino if sys.platform == "linux" else 0
    return f"{socket.gethostname()[:40]}/{namespace}"
