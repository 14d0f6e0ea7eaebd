"""What ``verbose`` shows: a progress bar where someone watches, lines elsewhere."""

import contextlib
import importlib
import sys
import warnings
from time import perf_counter

# Share of a fit's seconds that a bar may take, its first and last drawing aside: the
# solver waits while it draws.
_SHARE = 0.004


def _in_notebook():
    """Whether output goes to a notebook."""
    # IPython is not imported for this.
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def _module(name):
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def show(estimator):
    """Context of a function to call after every pass, which shows what it is told.

    A bar of rich, or of tqdm, in terminals and notebooks; a line for each pass
    elsewhere, without both, and with ``verbose`` of 2 or more.
    """
    name = type(estimator).__name__
    if estimator.verbose < 2 and (_in_notebook() or sys.stdout.isatty()):
        if (rich := _module("rich.progress")) is not None:
            return _RichBar(rich, name)
        if (tqdm := _module("tqdm.auto")) is not None:
            return _TqdmBar(tqdm, name)
    return contextlib.nullcontext(estimator._print_pass)


class Listener:
    """Context of what hears of every pass of a fit: display, tasks of callbacks."""

    def __init__(self, estimator, tasks):
        self.tasks = tasks
        self.display = show(estimator) if estimator.verbose else None
        self.wants_weights = tasks is not None and tasks.wants_weights
        silent = tasks is None and self.display is None
        self.callback = None if silent else self._pass_done

    def __enter__(self):
        self.shown = None if self.display is None else self.display.__enter__()
        return self

    def __exit__(self, *error):
        if self.display is not None:
            self.display.__exit__(*error)

    def _pass_done(self, iteration, loss, score, seconds, passes, weights):
        if self.shown is not None:
            self.shown(iteration, loss, score, seconds, passes)
        return self.tasks is not None and self.tasks.pass_done(
            iteration, passes, weights
        )


def _text(loss, validation_score):
    text = f"loss {loss:.4g}"
    return text if validation_score is None else f"{text}, score {validation_score:.4g}"


class _Bar:
    """Draws as often as a small share of the time allows, and at the end."""

    spent = 0.0

    def __call__(self, iteration, loss, validation_score, seconds, passes):
        self.state = iteration, loss, validation_score
        if self.spent <= _SHARE * seconds and iteration < passes:
            left = seconds / iteration * (passes - iteration)
            before = perf_counter()
            self.draw(iteration, passes, _text(loss, validation_score), left)
            self.spent += perf_counter() - before

    def __enter__(self):
        self.state = None
        before = perf_counter()
        self.start()
        self.spent = perf_counter() - before
        return self

    def __exit__(self, *_):
        if self.state is not None:
            iteration, *found = self.state
            self.draw(iteration, iteration, _text(*found), 0)
        self.stop()


class _RichBar(_Bar):
    def __init__(self, rich, name):
        self.progress = rich.Progress(
            rich.TextColumn(name),
            rich.BarColumn(),
            rich.TextColumn("pass {task.completed}/{task.total}"),
            rich.TextColumn("{task.description}"),
            rich.TextColumn("{task.fields[left]}"),
            auto_refresh=False,
        )

    def start(self):
        self.progress.start()
        self.task = self.progress.add_task("", total=None, left="")

    def draw(self, iteration, passes, text, left):
        self.progress.update(
            self.task,
            completed=iteration,
            total=passes,
            description=text,
            left=f"{_clock(left)} left" if left > 0 else "done",
            # In a terminal `stop` draws what is done once more.
            refresh=left > 0 or self.progress.console.is_jupyter,
        )

    def stop(self):
        self.progress.stop()


class _TqdmBar(_Bar):
    def __init__(self, tqdm, name):
        self.tqdm, self.name = tqdm, name

    def start(self):
        with warnings.catch_warnings():
            # Without ipywidgets it falls back on text, and warns.
            warnings.simplefilter("ignore")
            self.bar = self.tqdm.tqdm(desc=self.name, unit="pass", file=sys.stdout)

    def draw(self, iteration, passes, text, left):
        self.bar.total, self.bar.n = passes, iteration
        self.bar.set_postfix_str(text, refresh=False)
        self.bar.refresh()

    def stop(self):
        self.bar.close()


def _clock(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
