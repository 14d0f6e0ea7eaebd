"""What every lifted estimator shares: parameters, validation, the call of the core."""

import copy
import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

from liftnet import (
    _callbacks,
    _core,
    _export,
    _progress,
    _sparse,
    _start,
    _validation,
)
from liftnet._callbacks import CallbackSupportMixin
from liftnet._html import NetworkHTMLMixin
from liftnet._threads import n_threads, physical_memory
from liftnet._validation import ValidationSet


def _in_64_bits(value):
    """Replace integers beyond the core's range by one that is as good as infinite."""
    return int(min(value, 2**62)) if isinstance(value, Integral) else value


class LiftedMLPBase(
    CallbackSupportMixin,
    NetworkHTMLMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    BaseEstimator,
):
    """Parameters, validation and training common to the lifted estimators."""

    _parameter_constraints: dict = {  # noqa: RUF012 - scikit-learn's convention
        "hidden_layer_sizes": [
            "array-like",
            Interval(Integral, 1, None, closed="left"),
        ],
        # Names are checked by the core, which explains why some cannot be lifted.
        "activation": [str, "array-like"],
        "solver": [StrOptions({"auto", "stochastic", "batch"})],
        "divergence": [StrOptions({"fenchel", "euclidean"})],
        "learn_activation": ["boolean"],
        "penalty_weight": [
            StrOptions({"auto"}),
            Interval(Real, 0, None, closed="neither"),
        ],
        "input_noise": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "accelerate": ["boolean"],
        "diagnostics": ["boolean"],
        # The rates of a sequence are checked one by one.
        "dropout": [Interval(Real, 0, 1, closed="left"), "array-like"],
        "alpha": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        # Notation and number are checked by the core.
        "penalty": [None, str, "array-like"],
        "batch_size": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "learning_rate_init": [
            StrOptions({"auto"}),
            Interval(Real, 0, None, closed="neither"),
        ],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "max_iter": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "damping": [
            StrOptions({"auto"}),
            Interval(Real, 0, None, closed="neither"),
            tuple,
        ],
        "scale": [StrOptions({"auto", "global", "feature", "none"})],
        "n_components": [
            StrOptions({"auto"}),
            None,
            Interval(Integral, 1, None, closed="left"),
            Interval(Real, 0, 1, closed="neither"),
        ],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "n_jobs": [None, Integral],
        "verbose": ["verbose"],
        # Checked against the data.
        "init": "no_validation",
        # Names are checked by scikit-learn.
        "scoring": [None, str, callable],
        "max_time": [None, Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="auto",
        divergence="fenchel",
        penalty_weight="auto",
        alpha="auto",
        penalty=None,
        batch_size="auto",
        learning_rate_init="auto",
        momentum=0.9,
        max_iter="auto",
        damping="auto",
        scale="auto",
        n_components="auto",
        tol=1e-4,
        n_iter_no_change=10,
        early_stopping=False,
        validation_fraction=0.1,
        warm_start=False,
        random_state=None,
        n_jobs=None,
        verbose=False,
        input_noise="auto",
        accelerate=True,
        diagnostics=False,
        learn_activation=False,
        init=None,
        scoring=None,
        max_time=None,
        dropout=0.0,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.divergence = divergence
        self.penalty_weight = penalty_weight
        self.alpha = alpha
        self.penalty = penalty
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.momentum = momentum
        self.max_iter = max_iter
        self.damping = damping
        self.scale = scale
        self.n_components = n_components
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.warm_start = warm_start
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.input_noise = input_noise
        self.accelerate = accelerate
        self.diagnostics = diagnostics
        self.learn_activation = learn_activation
        self.init = init
        self.scoring = scoring
        self.max_time = max_time
        self.dropout = dropout

    def _layer_sizes(self):
        """Hidden layer sizes as a tuple of positive integers."""
        sizes = self.hidden_layer_sizes
        sizes = (sizes,) if isinstance(sizes, Integral) else tuple(sizes)
        for size in sizes:
            if not isinstance(size, Integral) or size <= 0:
                raise ValueError(
                    "hidden_layer_sizes must be a positive integer or a sequence of "
                    f"positive integers, got {self.hidden_layer_sizes!r}"
                )
        return tuple(map(_in_64_bits, sizes))

    def _activations(self):
        """Activation of each hidden layer, in the core's notation."""
        names = self.activation
        names = [names] if isinstance(names, str) else list(names)
        if not all(isinstance(name, str) for name in names):
            raise ValueError(
                f"activation must be a name or a sequence of names, got {names!r}"
            )
        sizes = self._layer_sizes()
        if len(names) == 1:
            names *= len(sizes)
        if len(names) != len(sizes):
            raise ValueError(
                "activation must be one name or one for each hidden layer, got "
                f"{len(names)} names for hidden_layer_sizes={sizes}"
            )
        # With no hidden layer a name is checked all the same.
        for name in names or [self.activation]:
            if isinstance(name, str):
                _core.activation_info(name)
        return [_core.activation_info(name).text for name in names]

    def _penalties(self):
        """Penalty of all layers, or of each, in the core's notation."""
        entries = self.penalty
        if entries is None or isinstance(entries, str):
            entries = [entries]
        for entry in entries:
            if entry is not None and not isinstance(entry, str):
                raise ValueError(
                    "penalty must be None, a string such as 'l1(0.1)', or a sequence "
                    f"of these with one entry for each layer, got {self.penalty!r}"
                )
        return ["ridge" if entry is None else str(entry) for entry in entries]

    def _dropout_rates(self):
        """Rate of all hidden layers, or of each."""
        rates = self.dropout
        rates = [rates] if isinstance(rates, Real) else list(rates)
        if not all(isinstance(rate, Real) and 0 <= rate < 1 for rate in rates):
            raise ValueError(
                "dropout must be a rate in [0, 1), or one for each hidden layer, got "
                f"{self.dropout!r}"
            )
        sizes = self._layer_sizes()
        if len(rates) not in (1, len(sizes)):
            raise ValueError(
                "dropout must be one rate or one for each hidden layer, got "
                f"{len(rates)} rates for hidden_layer_sizes={sizes}"
            )
        return [float(rate) for rate in rates]

    def _damping_pair(self):
        """Damping of the input layer and of the others, or None for automatic."""
        if self.damping == "auto":
            return None
        pair = self.damping if isinstance(self.damping, tuple) else (self.damping,) * 2
        real = all(isinstance(value, Real) and value > 0 for value in pair)
        if len(pair) != 2 or not real:
            raise ValueError(
                "damping must be 'auto', a positive number or a pair of positive "
                f"numbers (input layer, other layers), got {self.damping!r}"
            )
        return tuple(float(value) for value in pair)

    def _options(self, loss, total_weight):
        def automatic(value):
            return None if isinstance(value, str) else _in_64_bits(value)

        rng = check_random_state(self.random_state)
        return {
            "loss": loss,
            "hidden_layer_sizes": self._layer_sizes(),
            "activation": self._activations(),
            "divergence": self.divergence,
            "learn_activation": bool(self.learn_activation),
            "dropout": self._dropout_rates(),
            "alpha": automatic(self.alpha),
            "penalty": self._penalties(),
            "penalty_weight": automatic(self.penalty_weight),
            "solver": self.solver,
            "input_noise": automatic(self.input_noise),
            "accelerate": bool(self.accelerate),
            "diagnostics": bool(self.diagnostics),
            "total_weight": total_weight,
            "scale": self.scale,
            "n_components": _in_64_bits(self.n_components),
            "damping": self._damping_pair(),
            "batch_size": automatic(self.batch_size),
            "max_iter": automatic(self.max_iter),
            "learning_rate_init": automatic(self.learning_rate_init),
            "momentum": self.momentum,
            "tol": self.tol,
            "n_iter_no_change": _in_64_bits(self.n_iter_no_change),
            "early_stopping": bool(self.early_stopping),
            "merit": _validation.merit(self.scoring),
            "max_time": None if self.max_time is None else float(self.max_time),
            "seed": int(rng.randint(np.iinfo(np.int32).max)),
            "n_threads": n_threads(self.n_jobs),
            "memory_limit": physical_memory(),
        }

    def _validate_X(self, X, *, reset, dtype=(np.float64, np.float32), **kwargs):
        """Validate as scikit-learn does, but name the feature that is not finite."""
        checked = validate_data(
            self,
            X,
            reset=reset,
            accept_sparse="csr",
            dtype=dtype,
            ensure_all_finite=False,
            **kwargs,
        )
        X = checked[0] if isinstance(checked, tuple) else checked
        X = _sparse.checked(X)
        bad = _sparse.first_non_finite(X)
        if bad is not None:
            row, column = bad
            names = getattr(self, "feature_names_in_", None)
            feature = f"feature {column}" if names is None else repr(str(names[column]))
            value = "NaN" if np.isnan(X[row, column]) else "infinity"
            raise ValueError(
                f"Input X contains {value} in {feature}, first in row {row}. "
                f"{type(self).__name__} does not accept NaN or infinite (inf) values; "
                "impute them first, for instance with sklearn.impute.SimpleImputer."
            )
        return (X, *checked[1:]) if isinstance(checked, tuple) else X

    def _or_restore(self, fit, *arguments):
        """Fit; a failed fit leaves an earlier one as it was."""
        fitted = vars(self).copy()
        try:
            return fit(*arguments)
        except BaseException:
            fitted |= _callbacks.of_the_context(self)
            vars(self).clear()
            vars(self).update(fitted)
            raise

    def _drop_weightless(self, X, y, sample_weight):
        """Leave samples of weight 0 out; equal weights become None.

        The last value returned is the weight that a weight of 1 stands for.
        """
        sample_weight, unit = self._check_sample_weight(sample_weight, X)
        if sample_weight is not None and not sample_weight.all():
            # A weight of 0 means absent: for the targets, the scaling and the steps.
            used = sample_weight > 0
            X, y, sample_weight = X[used], y[used], sample_weight[used]
        if sample_weight is not None and sample_weight.min() == sample_weight.max():
            unit *= float(sample_weight.max())
            sample_weight = None
        return X, y, sample_weight, unit

    def _previous(self, X):
        """Network of the previous fit, or None before the first."""
        if not hasattr(self, "coefs_"):
            return None
        sizes = tuple(coef.shape[1] for coef in self.coefs_[:-1])
        if sizes != self._layer_sizes() or self.coefs_[0].shape[0] != X.shape[1]:
            raise ValueError(
                "warm_start needs the layer sizes of the previous fit, "
                f"{(self.coefs_[0].shape[0], *sizes)}, but X and hidden_layer_sizes "
                f"give {(X.shape[1], *self._layer_sizes())}"
            )
        # Learned ones, unless others have been chosen since. A start that was set by
        # hand has no record of a choice.
        chosen = self._activations()
        same = getattr(self, "_chosen_activations", None) == chosen
        return _start.Start(
            *(
                [np.ascontiguousarray(array, dtype=X.dtype) for array in arrays]
                for arrays in (self.coefs_, self.intercepts_)
            ),
            self.activations_ if same else chosen,
        )

    def _given(self, X, n_outputs, link, classes=None):
        """Network of the parameter ``init``, or None without."""
        if self.init is None:
            return None
        sizes = (X.shape[1], *self._layer_sizes(), n_outputs)
        wanted = _start.Wanted(sizes, self._activations(), link, classes, X.dtype)
        return _start.read(self.init, wanted)

    def _hold_out(self, X, target, sample_weight, stratify=None):
        """Set validation data aside: the rest, its weights, and the pair set aside."""
        arrays = [X, target] + ([] if sample_weight is None else [sample_weight])
        # A RandomState that is passed in advances here; the seed of the core follows.
        parts = train_test_split(
            *arrays,
            test_size=self.validation_fraction,
            stratify=stratify,
            random_state=self.random_state,
        )
        weight, weight_val = (None, None) if sample_weight is None else parts[4:]
        validation = ValidationSet(parts[1], parts[3], weight_val)
        return parts[0], parts[2], weight, validation

    def _train(self, X, y, n_outputs, loss, sample_weight, validation, start, unit=1.0):
        """Call the core and keep its record; attributes change only on success.

        ``unit`` is the sample weight that a weight of 1 stands for.
        """
        total_weight = unit * (
            X.shape[0] if sample_weight is None else sample_weight.sum(dtype=np.float64)
        )
        total_weight = min(float(total_weight), np.finfo(np.float64).max)
        options = self._options(loss, total_weight)
        chosen = options["activation"]
        activations = chosen if start is None else start.activations
        self.n_outputs_ = n_outputs  # which scorers need
        scorer = None
        if isinstance(self.scoring, str) and self.scoring != "loss":
            check_scoring(self, self.scoring)  # a wrong name, even if it is not used
        if validation is not None and options["merit"] == "own":
            scorer = _validation.PassScorer(self, validation)
        if validation is not None:
            validation = validation._replace(X=_sparse.rows(validation.X))
        tasks = self._tasks(X, y, sample_weight, options)
        with _progress.Listener(self, tasks) as listener:
            result = _core.fit(
                _sparse.rows(X),
                y,
                n_outputs,
                options | {"activation": activations},
                sample_weight=sample_weight,
                start=None if start is None else (start.coefs, start.intercepts),
                validation=validation,
                callback=listener.callback,
                with_weights=listener.wants_weights,
                scorer=scorer,
            )
        vars(self).pop("_stream", None)
        self.coefs_ = result.coefs
        self.activations_ = result.activations
        self._chosen_activations = chosen
        self.intercepts_ = result.intercepts
        self.loss_curve_ = result.loss_curve
        self.history_ = result.history
        self.loss_ = result.loss_curve[-1] if result.loss_curve else np.nan
        self.n_iter_ = result.n_iter
        self.n_components_ = result.n_components
        self.n_layers_ = len(result.coefs) + 1
        self.status_ = result.status
        if validation is not None:
            self.validation_scores_ = result.validation_scores
            self.best_validation_score_ = max(result.validation_scores, default=np.nan)
        else:
            self.validation_scores_ = None
            self.best_validation_score_ = None
        chosen = validation is not None and self.early_stopping
        self.best_loss_ = None if chosen else min(result.loss_curve, default=np.nan)
        if tasks is not None:
            tasks.close((self.coefs_, self.intercepts_, self.activations_))
        if result.status == "max_time":
            warnings.warn(
                f"Training ended after {result.n_iter} passes because max_time="
                f"{self.max_time} seconds were up.",
                ConvergenceWarning,
                stacklevel=3,
            )
        if result.status == "interrupted":
            warnings.warn(
                "Training interrupted by user; the model is the one of that moment.",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _tasks(self, X, y, sample_weight, options):
        """Tasks of scikit-learn's callbacks, or None where there are none."""

        def fitted(weights):
            estimator = _validation.with_weights(self, weights)
            names = ("coefs_", "intercepts_", "activations_", "n_layers_")
            return {name: getattr(estimator, name) for name in names}

        data = {
            "X": X,
            "y": lambda: self._targets_for_scorer(y),
            "metadata": {}
            if sample_weight is None
            else {"sample_weight": sample_weight},
        }
        passes = _core.planned_passes(options, *X.shape)
        return _callbacks.tasks(self, passes, data, fitted)

    @staticmethod
    def _print_pass(iteration, loss, validation_score, seconds, passes):
        line = f"Iteration {iteration}, loss = {loss:.8f}"
        if validation_score is not None:
            line += f", validation score = {validation_score:.6f}"
        print(f"{line} ({seconds:.2f} s)")

    def _check_sample_weight(self, sample_weight, X):
        """Weights with a maximum of 1, and the unit that they are multiples of."""
        if sample_weight is None:
            return None, 1.0
        weight = _check_sample_weight(
            sample_weight, X, dtype=np.float64, ensure_non_negative=True
        )
        # Weights of at most 1 can neither overflow in a sum nor vanish in single
        # precision as a whole.
        unit = weight.max()
        if unit == 0:
            raise ValueError("sample_weight must contain at least one non-zero number")
        return (weight / unit).astype(X.dtype), float(unit)

    def _logits(self, X):
        """Logits of validated or raw inputs, shape (n_samples, n_outputs)."""
        check_is_fitted(self)
        X = self._validate_X(X, reset=False, dtype=self.coefs_[0].dtype)
        return _core.decision_function(
            _sparse.rows(X),
            self.coefs_,
            self.intercepts_,
            self.activations_,
            n_threads(self.n_jobs),
        )

    def __sklearn_clone__(self):
        clone = super().__sklearn_clone__()
        # A fitted estimator is a start only as long as it stays fitted.
        clone.init = copy.deepcopy(self.init)
        return clone

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def transform(self, X):
        """Activations of the last hidden layer: what the output layer sees.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_units)
            In the precision of ``coefs_``, or in the container that ``set_output``
            asks for, with the names of :meth:`get_feature_names_out`.

        Raises
        ------
        ValueError
            Without hidden layers.

        See Also
        --------
        hidden_activations : The same for any hidden layer.
        """
        return self.hidden_activations(X)

    def hidden_activations(self, X, layer=-1):
        """Activations of a hidden layer.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        layer : int, default=-1
            Which one, counted as ``activations_`` is: from 0, or from the end.

        Returns
        -------
        ndarray of shape (n_samples, n_units)
            In the precision of ``coefs_``.

        Raises
        ------
        ValueError
            Without hidden layers, or for a layer that the network does not have.
        """
        check_is_fitted(self)
        n_hidden = self._n_hidden("hidden activations need")
        if not isinstance(layer, Integral):
            raise TypeError(f"layer must be an integer, got {layer!r}")
        if not -n_hidden <= layer < n_hidden:
            raise ValueError(
                f"layer must be within [{-n_hidden}, {n_hidden - 1}] for "
                f"{n_hidden} hidden layers, got {layer}"
            )
        X = self._validate_X(X, reset=False, dtype=self.coefs_[0].dtype)
        depth = int(layer) % n_hidden + 1
        # The network up to that layer, and the identity for an output layer. Sums of
        # one value and zeros are exact.
        n_units = self.coefs_[depth].shape[0]
        return _core.decision_function(
            _sparse.rows(X),
            [*self.coefs_[:depth], np.eye(n_units, dtype=X.dtype)],
            [*self.intercepts_[:depth], np.zeros(n_units, dtype=X.dtype)],
            self.activations_[:depth],
            n_threads(self.n_jobs),
        )

    def _n_hidden(self, purpose):
        """Count the hidden layers; at least one is needed for the purpose."""
        if not self.activations_:
            raise ValueError(
                f"{purpose} a hidden layer, but {type(self).__name__} was fitted "
                "without any (hidden_layer_sizes is empty)"
            )
        return len(self.activations_)

    def get_feature_names_out(self, input_features=None):
        """Names of the columns of :meth:`transform`.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Only compared with the names seen in :meth:`fit`.

        Returns
        -------
        ndarray of str, shape (n_units,)
            The name of the class in lower case and a number, as in
            "liftedmlpclassifier0".

        Raises
        ------
        ValueError
            Without hidden layers.
        """
        check_is_fitted(self)
        self._n_hidden("names of hidden units need")
        return super().get_feature_names_out(input_features)

    @property
    def _n_features_out(self):
        # It must not raise: scikit-learn's view in notebooks reads all attributes.
        return self.coefs_[-1].shape[0]

    def to_torch(self, dtype=None, device=None, *, head="logits", binary="one"):
        """Export the network to PyTorch.

        Parameters
        ----------
        dtype : torch.dtype, default=None
            Type of the parameters; that of ``coefs_`` by default.
        device : torch.device or str, default=None
            Where to put them; PyTorch's default device by default.
        head : {"logits", "softmax", "predictions"}, default="logits"
            What the module returns: logits, of a classifier probabilities by "softmax"
            (one column, that of ``classes_[1]``, for the one logit of two classes), of
            a regressor "predictions". A regressor's logits are its predictions, or with
            the Poisson loss their logarithms.
        binary : {"one", "two"}, default="one"
            Logits of two classes: one, as ``BCEWithLogitsLoss`` takes it, or two, as
            ``CrossEntropyLoss`` does, which give the same probabilities.

        Returns
        -------
        module : torch.nn.Sequential
            Trainable; takes raw inputs (scaling is folded into the first layer). A new
            copy, which shares no memory with the estimator.

        Raises
        ------
        ValueError
            For a head or a number of logits that the estimator cannot have.
        ImportError
            Without PyTorch.
        """
        from liftnet.torch import to_torch

        return to_torch(self, dtype=dtype, device=device, head=head, binary=binary)

    def to_state_dict(self, *, binary="one"):
        """Parameters as PyTorch names and shapes them, without PyTorch.

        ``{name: torch.from_numpy(array) for ...}`` is what ``load_state_dict`` of the
        module takes that :meth:`to_torch` makes, whatever its head.

        Parameters
        ----------
        binary : {"one", "two"}, default="one"
            Logits of two classes, as for :meth:`to_torch`.

        Returns
        -------
        dict of str to ndarray
            "0.weight" of shape (n_out, n_in), "0.bias" of shape (n_out,), "2.weight",
            ..., for every other module is an activation. Copies, in the precision of
            ``coefs_``.

        Raises
        ------
        ValueError
            For a number of logits that the estimator cannot have.
        """
        return _export.state_dict(self, binary)

    def to_onnx(self, path=None):
        """Export the network to ONNX.

        Parameters
        ----------
        path : str or path-like, default=None
            File to write as well; one of that name is replaced.

        Returns
        -------
        model : onnx.ModelProto
            Takes raw inputs "X" in the precision of ``coefs_``, any number of rows.
            Returns what scikit-learn's models do that skl2onnx converts: "label" and
            "probabilities", a matrix, of a classifier, "variable" of a regressor. See
            :func:`liftnet.onnx.to_onnx`.

        Raises
        ------
        ValueError
            For labels that ONNX does not have, or more than 2 GiB of weights.
        ImportError
            Without onnx.
        """
        from liftnet.onnx import to_onnx

        return to_onnx(self, path)

    def save(self, path):
        """Write the fitted estimator to a file, from which ``liftnet.load`` reads it.

        The file is in the format safetensors: weights and record of the fit as arrays,
        the rest as JSON. It holds no code, unlike a pickle, and the same estimator
        makes the same bytes. Saved are the parameters, what ``predict`` and
        ``warm_start`` need, and the record of the fit.

        Parameters
        ----------
        path : str or path-like
            File to write, by custom with the ending ".safetensors". One of that name is
            replaced once the new one is complete.

        Raises
        ------
        ValueError
            When a fitted attribute has been set to what no fit would leave, or
            ``classes_`` are neither numbers nor strings.
        TypeError
            For an instance of a subclass.
        OSError
            When the file cannot be written.
        ImportError
            Without safetensors.

        Warns
        -----
        UserWarning
            For a parameter that is no plain data, such as a ``RandomState``: its
            default is saved.
        """
        from liftnet._save import save

        save(self, path)
