"""How many threads a call may use, and how much memory the machine has."""

import os

from joblib import cpu_count, effective_n_jobs

from liftnet import _core


def n_threads(n_jobs):
    """Threads for ``n_jobs``: joblib's reading of it, capped by limits from outside.

    Parameters
    ----------
    n_jobs : int or None
        None and -1 mean every processor this process may run on; inside a joblib
        worker None means what joblib leaves to it.

    Returns
    -------
    int
        At least 1, at most what ``OMP_NUM_THREADS``, ``RAYON_NUM_THREADS`` and
        ``threadpoolctl.threadpool_limits`` allow, and no more than the machine has
        processors.
    """
    threads = effective_n_jobs(-1 if n_jobs is None else n_jobs)
    threads = min(threads, os.cpu_count() or threads)
    return _capped(threads, _core.thread_limit())


def thread_limit():
    """Most threads that a call may use now, whatever its ``n_jobs``."""
    return _capped(cpu_count(), _core.thread_limit())


def set_thread_limit(limit):
    """Let no later call use more threads than that, in the whole process.

    A limit that the processors or the environment set anyway is none, so that setting
    back what :func:`thread_limit` said leaves no trace.
    """
    _core.set_thread_limit(limit if limit < _capped(cpu_count()) else None)


def _capped(threads, limit=None):
    """Threads within a limit and those of the environment."""
    threads = min(threads, limit or threads)
    for variable in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS"):
        # OMP_NUM_THREADS may list one number per nesting level.
        cap = os.environ.get(variable, "").split(",")[0].strip()
        if cap.isdigit() and int(cap) > 0:
            threads = min(threads, int(cap))
    return max(1, threads)


def physical_memory():
    """Bytes of memory of this machine, or None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
