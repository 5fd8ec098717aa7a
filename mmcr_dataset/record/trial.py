"""Try out what a foreign file makes the program do, in a child process with little time and memory.

A checkpoint's chat template is a program: a loop in it may run for days, a product of texts may need all memory. It is
rendered once for a short dialogue before it is used.
"""

from __future__ import annotations

import os
import signal
import time
import warnings
from collections.abc import Callable

_MEMORY_BYTES = 2_000_000_000
_OUT_OF_MEMORY = 7
_PAUSE_S = 0.01
SHORT_DIALOGUE = [
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]},
    {"role": "assistant", "content": [{"type": "text", "text": "A field."}]},
    {"role": "user", "content": [{"type": "text", "text": "Is it large?"}]},
]


def try_out(call: Callable[[], object], what: str, seconds: float = 10.0) -> None:
    """Make a call in a child process; an exception of it is left to the real call.

    Args:
        call: what to try.
        what: its name, for the message.
        seconds: time of the processor; of the clock ten times that, for a busy machine.

    Raises:
        ValueError: it needs more time or memory than is allowed.
    """
    if not hasattr(os, "fork"):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads: the child uses none of theirs
        child = os.fork()
    if child == 0:
        _call_limited(call, seconds)
    until = time.monotonic() + 10 * seconds
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
        time.sleep(_PAUSE_S)
    code = os.waitstatus_to_exitcode(status)
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        raise ValueError(f"{what} needs more than {seconds:.0f} s for a short dialogue")
    if code == _OUT_OF_MEMORY:
        raise ValueError(f"{what} needs more than {_MEMORY_BYTES / 1e9:.0f} GB for a short dialogue")


def _call_limited(call: Callable[[], object], seconds: float) -> None:
    """Call in this child process and end it, whatever happens."""
    code = 0
    try:
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        until = int(used.ru_utime + used.ru_stime + seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (until, until + 1))
        with open("/proc/self/statm", encoding="ascii") as file:
            held = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (held + _MEMORY_BYTES,) * 2)
        call()
    except MemoryError:
        code = _OUT_OF_MEMORY
    except BaseException:  # noqa: BLE001  (the real call raises it again)
        code = 0
    finally:
        os._exit(code)
