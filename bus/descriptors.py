"""How many files and sockets a process may have open: as many as its user is allowed, up to what it needs."""

import resource

from bus.limits import OPEN_FILES_WANTED


def allow_many() -> int:
    """Raise this process's soft limit towards OPEN_FILES_WANTED, as far as the hard one goes; what it is now.

    Each session takes a descriptor, and shells still allow 1,024 by default, fewer than SESSIONS_MAX.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES_WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft
