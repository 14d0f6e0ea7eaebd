"""scikit-learn's callbacks, from version 1.9 on: tasks for a fit and its passes."""

import inspect

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # scikit-learn before 1.9

    class CallbackSupportMixin:
        """Nothing: this scikit-learn has no callbacks."""


# What the context of a callback leaves in the estimator until the end of ``fit``.
_ATTRIBUTES = ("_callback_fit_ctx", "_skl_callbacks_to_teardown")


def of_the_context(estimator):
    """Attributes that must survive a failed fit, for callbacks to be torn down."""
    return {
        name: vars(estimator)[name] for name in _ATTRIBUTES if name in vars(estimator)
    }


class PassTasks:
    """Tells an estimator's callbacks of a fit and its passes.

    ``passes`` is their number as it is planned; ``fitted`` makes fitted attributes of
    weights.
    """

    def __init__(self, estimator, passes, data, fitted):
        self.estimator, self.data, self.fitted = estimator, data, fitted
        self.root = estimator._init_callback_context(max_subtasks=passes)
        self.root.call_on_fit_task_begin(estimator=estimator, **data)
        self.wants_weights = any(
            "fitted_estimator" in inspect.signature(hook).parameters
            for callback in estimator._skl_callbacks
            for hook in (callback.on_fit_task_begin, callback.on_fit_task_end)
        )
        self.begun = 0
        self._begin(None)

    def _begin(self, attributes):
        self.begun += 1
        self.current = self.root.subcontext(task_name="pass")
        self.current.call_on_fit_task_begin(
            estimator=self.estimator,
            **self.data,
            reconstruction_attributes=attributes,
        )

    def pass_done(self, iteration, passes, weights):
        """End a pass, begin the next; whether a callback asks to stop."""
        attributes = None if weights is None else self.fitted(weights)
        stop = self._end(attributes)
        if not stop and iteration < min(passes, self.root.max_subtasks):
            self._begin(attributes)
        return stop

    def _end(self, attributes):
        current, self.current = self.current, None
        return current.call_on_fit_task_end(
            estimator=self.estimator,
            **self.data,
            reconstruction_attributes=attributes,
        )

    def close(self, weights):
        """End the fit, whose network has these weights."""
        if self.current is not None:
            # Begun, but the fit ended before it.
            self.current.call_on_fit_task_end(estimator=self.estimator)
        self.root.call_on_fit_task_end(
            estimator=self.estimator,
            **self.data,
            reconstruction_attributes=self.fitted(weights),
        )


def tasks(estimator, passes, data, fitted):
    """Return tasks for an estimator that has callbacks, otherwise None."""
    if not hasattr(estimator, "_init_callback_context"):
        return None
    if not getattr(estimator, "_skl_callbacks", None):
        if hasattr(estimator, "_parent_callback_ctx"):
            # Within a search that is watched: its tree of tasks knows of this fit.
            estimator._init_callback_context()
        return None
    return PassTasks(estimator, passes, data, fitted)
