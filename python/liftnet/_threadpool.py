"""liftnet in the lists of threadpoolctl, and under its limits."""

from importlib.metadata import version

from liftnet._threads import set_thread_limit, thread_limit


def register():
    """Make liftnet known to threadpoolctl, where there is one that can be told."""
    try:
        import threadpoolctl
        from threadpoolctl import LibController
    except ImportError:  # none, or one before 3.3, which knows a fixed list
        return

    class LiftnetController(LibController):
        """Reads and sets the limit on liftnet's threads, one for the process."""

        user_api = internal_api = "liftnet"
        filename_prefixes = ("_core",)
        # Other packages too have libraries of that name.
        check_symbols = ("liftnet_get_num_threads", "liftnet_set_num_threads")

        def get_num_threads(self):
            return thread_limit()

        def set_num_threads(self, num_threads):
            set_thread_limit(num_threads)

        def get_version(self):
            return version("liftnet")

    threadpoolctl.register(LiftnetController)
