"""Let freed columns be used again: by default glibc hands every 100 kB back to the kernel at once.

A million candidates a second means a thousand temporary columns a millisecond. Faulting their pages
in again takes three times as long as the arithmetic on them. It is the whole process's setting: the
commands that search make it, the library never does; call it where the process is yours.
"""

import functools
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_COLUMNS = 64 * 2**20  # bytes: more than the temporaries of a chunk


@functools.cache
def keep_freed_memory() -> bool:
    """Tell the allocator to keep what is freed; returns whether it could (glibc only)."""
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl and others have no such knob
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _COLUMNS)) and bool(mallopt(_M_TRIM_THRESHOLD, _COLUMNS))
