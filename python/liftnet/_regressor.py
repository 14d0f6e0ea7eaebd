"""The lifted regressor."""

from numbers import Real

import numpy as np
from scipy.sparse import issparse
from scipy.special import huber, xlogy
from sklearn.base import MultiOutputMixin, RegressorMixin, _fit_context
from sklearn.utils._param_validation import Interval
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_array, check_consistent_length, column_or_1d

from liftnet import _core, _stream, _validation
from liftnet._base import LiftedMLPBase

# As in the core: the default of Huber's loss, and what makes the median distance of
# normal targets their standard deviation.
_HUBER, _MEDIAN_DISTANCE = 1.35, 1.4826


class LiftedMLPRegressor(RegressorMixin, MultiOutputMixin, LiftedMLPBase):
    r"""Multi-layer perceptron regressor trained by lifted block-coordinate descent.

    The lifted problem is that of :class:`LiftedMLPClassifier`, with a loss
    :math:`\ell` on real targets, one or more for each sample. Losses of several
    outputs are added.

    Inputs and targets are centred and scaled inside, targets by mean and standard
    deviation for the squared loss, by median and median distance for the absolute loss
    and Huber's, by the mean alone for Poisson's. Both are folded into the weights:
    ``coefs_`` and ``intercepts_`` take raw inputs and give raw targets. There is no
    need for a ``StandardScaler`` or a ``TransformedTargetRegressor``. Losses, ``tol``
    and ``alpha`` are in units of scaled targets.

    No fit ends with a larger loss on the data it was trained on than the best constant
    prediction: where training gained next to nothing on that, the convex block of the
    output layer is solved to its optimum (held-out data may prefer the constant). With
    "step" or "sign" the batch solver always ends so.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(100,)
        Units of each hidden layer. Empty for a linear model.
    activation : str or sequence of str, default="relu"
        Activation of the hidden layers, or one for each. Parameters are written as in
        "leaky_relu(slope=0.2)"; :func:`liftnet.activations` shows formulas and
        pictures. Names, defaults and ranges:

        - "identity", "relu", "hard_tanh", "logistic", "tanh", "softplus", "softsign",
          "arctan";
        - "leaky_relu": slope=0.01 below zero, in [1e-6, 1];
        - "clipped_relu": limit=6, in [0.1, 1000];
        - "hard_sigmoid": slope=0.25, in [0.01, 10]; PyTorch's has 1/6;
        - "elu": alpha=1, in [1e-6, 1];
        - "soft_threshold": threshold=0.5, in [0, 10];
        - "step", "sign": they jump, which no gradient sees. The lifted problem takes
          the clip of the same range with a line on [-1, 1] in their place, every
          forward pass the jump itself;
        - "softmax": over the units of the layer. It shares 1 among them; several such
          layers in a row want a small ``alpha``.
    solver : {"auto", "stochastic", "batch"}, default="auto"
        "stochastic" steps after each mini-batch. "batch" solves its blocks for
        all samples in every sweep: deterministic, its objective never rises, and a
        weight of 2 is the same as a sample twice. "auto" is
        "stochastic", which overfits small tables less.
    divergence : {"fenchel", "euclidean"}, default="fenchel"
        What ties a lifted variable x to its pre-activation z. "fenchel" is
        :math:`f(x) + f^*(z) - xz`, which vanishes exactly at :math:`x = \varphi(z)`;
        "euclidean" is :math:`\frac12 \|x - z\|^2` on the domain of f, the form of the
        first paper, for activations that are projections ("identity", "relu",
        "clipped_relu", "hard_tanh").
    loss : str, default="squared_error"
        "squared_error" (predicts means), "absolute_error" (medians), "huber"
        (quadratic near the target, linear beyond) or "poisson" (means of counts,
        through the logarithm). The parameter of "huber" (1.35) and that of
        "absolute_error" (the width of the smoothing about 0, 0.05) can be written with
        it, as in ``"huber(1.5)"``, in units of the spread of the targets: their
        standard deviation, estimated by the median distance from the median.
    penalty_weight : float or "auto", default="auto"
        :math:`\lambda > 0`, the weight of the divergence. Large values tend to
        plain gradients, small ones move the activations further in a step.
        "auto" is 10, and 3 for ``solver="batch"`` on more than 128 features.
    alpha : float or "auto", default="auto"
        Strength of the ridge penalty on the weights, divided by the number of samples
        when added to the loss. "auto" is 3 for up to 5,000 samples and grows with the
        square root of their number beyond. The first layer is penalised in the
        coordinates of the input map, in which its metric is the identity.
    penalty : str, None, or sequence of these, default=None
        Penalty on the weights beyond ``alpha``, or the set that they are held in; one
        for all layers, or one for each (hidden layers and output). None or "ridge" is
        nothing. Intercepts are free.

        - "l1(strength)", "elastic_net(strength, l1_ratio=0.5)", "nuclear(strength)":
          strength :math:`\ge 0` times :math:`\sum |w|`, a mixture of that and
          :math:`\frac12 \sum w^2` as in scikit-learn, or the sum of the singular
          values; divided by the number of samples when added to the loss, as ``alpha``
          is, in units of scaled targets. In the first layer they act on the weights of
          the centred and scaled features, "nuclear" on those of the input map.
        - "nonnegative", "box(lower, upper)": bounds on every weight, perhaps
          ``inf``.
        - "rank(limit)": at most this rank, to rounding.
        - "sparse(share)": at least this share of the layer's weights is exactly 0.

        ``coefs_``, which act on raw inputs, satisfy bounds (rounded to their precision)
        and shares of zeros exactly. "rank" and "sparse" are no convex sets: the
        stochastic solver tightens them over the first half of the run, the batch solver
        keeps to them from its first sweep on. A penalty on single weights of the
        first layer trains it in all features, whatever their number, and therefore
        needs ``n_components`` "auto" or None.
    batch_size : int or "auto", default="auto"
        Samples in a step; "auto" is a hundredth of the samples to the nearest power
        of two, within 32 and 512, and less for a run of few passes.
    learning_rate_init : float or "auto", default="auto"
        Step of the weight blocks at the start. It falls linearly to 0 over the run, and
        "auto" grows with the batch size and is smaller than a classifier's, most so
        for the absolute and Poisson losses; the batch solver adapts it after every
        sweep.
    momentum : float, default=0.9
        Heavy-ball momentum of the weight blocks, in [0, 1).
    max_iter : int or "auto", default="auto"
        Passes over the data. The step reaches 0 at the end of them, so that a fit of
        few passes is a finished fit. "auto" is 30 for up to 5,000 samples and falls to
        6 for many; 100 sweeps for ``solver="batch"``.
    damping : float, (float, float) or "auto", default="auto"
        Damping of the metric of the first layer and of the others, as a multiple of
        the mean eigenvalue of the Gram matrix.
    scale : {"auto", "global", "feature", "none"}, default="auto"
        Divide the centred inputs by one number for all features, by one for each, or
        not at all. "auto" takes one for all when the ranges of the features look as if
        they shared a unit, as pixels do.
    n_components : int, float, "auto" or None, default="auto"
        Leading principal directions of the inputs in which the first layer is trained:
        their number, the share of the variance that they hold (in (0, 1)), or None for
        all. "auto" keeps all of up to 128 features and 95 % of the variance of more,
        but of more than 2,048 features at most 1,024 directions. Training holds the
        inputs in these directions, dense: ``n_samples * n_components_`` numbers.
    tol : float, default=1e-4
        Least improvement of the loss, or of the validation score, that counts. For
        ``solver="batch"`` the relative improvement of the objective, and the optimality
        residual at which training ends.
    n_iter_no_change : int, default=10
        Passes in a row without improvement after which training stops.
    early_stopping : bool, default=False
        Watch the validation score (see ``scoring``) on ``X_val``, or without it on
        ``validation_fraction`` of the data, set aside. After ``n_iter_no_change``
        passes that did not better it by ``tol``, the step falls to 0 within as many
        passes more. The weights are those of the best pass, of equally good ones the
        last.
    validation_fraction : float, default=0.1
        Share of the data set aside for early stopping, in (0, 1).
    warm_start : bool, default=False
        Start from the weights of the previous fit.
    random_state : int, RandomState instance or None, default=None
        Seed of initial weights, batches and the validation split. The same seed gives
        the same bits for every number of threads.
    n_jobs : int or None, default=None
        Threads; None and -1 mean all processors. ``OMP_NUM_THREADS``,
        ``RAYON_NUM_THREADS`` and ``threadpoolctl.threadpool_limits`` are upper limits.
    verbose : bool or int, default=False
        Show passes, loss, validation score and time left in a progress bar, where rich
        or tqdm is installed (``pip install 'liftnet[progress]'``) and the output is a
        terminal or a notebook; print a line for each pass elsewhere, or everywhere with
        2 or more.
    input_noise : float, default=0.0
        Radius :math:`\rho \ge 0` of the noise that the network should withstand. The
        inputs of each sample are moved to the worst of their ball,
        :math:`u_i = \rho\, g_i / \|g_i\|_2` with :math:`g_i` the gradient of its loss,
        pulled back through the activation blocks, and every step is taken there:
        :math:`\min_{W,b} \max_u \min_x` of the objective, the maximum to first order
        (for one output with the squared error and no hidden layer exactly).
        In units of the centred and scaled features, that is in standard deviations
        (of all features together, or of each, see ``scale``), or with
        ``scale="none"`` in the units of ``X``. Samples lie about
        :math:`\sqrt{\text{n\_features}}` from their mean; a tenth of that is a start.
        Over the first half of a run that starts from random weights the noise grows
        to its radius. A pass takes about twice the time.
    accelerate : bool, default=True
        Joint steps of weights and lifted variables with momentum in the batch solver,
        taken where they do not raise the objective. Without them it is plain block
        descent as in the papers, and slow.
    diagnostics : bool, default=False
        Complete ``history_``, at the cost of further evaluations.
    learn_activation : bool, default=False
        Learn the parameters of the activations that have a convex block for it
        ("leaky_relu", "hard_sigmoid", "elu", "soft_threshold"), one number a layer,
        starting from the given ones; at least one hidden layer must have one. The
        stochastic solver takes a Newton step of each after every mini-batch; the batch
        solver moves them with the weights, or solves their blocks (see
        :func:`liftnet.kernels.activation_parameter`), and its objective still never
        rises. ``activations_`` holds what was learned; ``warm_start`` goes on from it,
        unless ``activation`` has been changed since.
    init : None, pair, estimator, module or state dict, default=None
        Network that training starts from, in the place of random weights: a pair
        ``(coefs, intercepts)`` of lists of arrays, as the attributes are; a fitted
        ``MLPRegressor`` of scikit-learn or regressor of liftnet; a
        ``torch.nn.Module`` that :func:`liftnet.torch.from_torch` could read; or its
        state dict, of tensors or arrays ("0.weight", "0.bias", ...). Sizes and
        activations must be those of ``hidden_layer_sizes`` and ``activation``. With
        ``warm_start`` only the first fit starts there.
    scoring : str, callable or None, default=None
        What the validation score is, more is better: minus the loss of the network, for
        scaled targets, by default (None, or "loss"); or any of scikit-learn's scorers,
        a name or ``scorer(estimator, X, y)``, which is called after every pass with an
        estimator that has the weights of that pass, and with ``sample_weight`` where
        there is one for the validation data.
    max_time : float or None, default=None
        Seconds that training may take. A run that would take longer is shortened as it
        goes, so that the step reaches 0 when the time is up (the batch solver begins no
        further sweep), and warns. Such a run depends on the speed of the machine.
    dropout : float or sequence of float, default=0.0
        Share of the hidden units that is left out, drawn anew for every sample and
        step of the stochastic solver: one rate in [0, 1) for all hidden layers, or one
        for each. Those that stay are multiplied by ``1 / (1 - dropout)``; each layer's
        metric is the expected Gram matrix of such inputs, in closed form. Predictions,
        scores on held-out data and the lifted problem's terms are those of the whole
        network, ``loss_curve_`` and the training "loss" and "score" in ``history_``
        those of the thinned ones that steps are taken for.

    Attributes
    ----------
    coefs_ : list of ndarray, shape (n_in, n_out) each
        Weights of the layers, for raw inputs, in the precision of ``X``.
    intercepts_ : list of ndarray, shape (n_out,) each
        Intercepts of the layers.
    activations_ : list of str
        Activation of each hidden layer, with learned parameters, as in
        "leaky_relu(slope=0.2)".
    loss_ : float
        Loss of the last pass, for scaled targets: mean over its batches, each before
        its step, plus the penalty.
    best_loss_ : float or None
        Smallest loss of a pass; None with early stopping.
    loss_curve_ : list of float
        Loss of each pass.
    history_ : dict of str to list of float
        The record of the run, one value a pass: "loss" of the network, "score" on the
        training data (accuracy, or minus the loss), with validation data
        "validation_loss" and "validation_score", the "learning_rate" and the "seconds"
        since the start. The batch solver adds the lifted "objective" with its terms
        "lifted_loss", "penalty" and "divergence_1", "divergence_2", ... (mean D of each
        hidden layer), "gap_1", ... (root mean squared distance of a layer's lifted
        variables from the plain network's) and the optimality "residual" (root of the
        squared length of a step, in the metric of its block, over the objective). With
        ``diagnostics=True`` the stochastic solver adds these too, on up to 1,024
        training samples, and the batch solver adds "blocks": the objective after each
        block where it goes block by block. With ``learn_activation=True``
        "activation_parameter_1", ... are the parameters of the hidden layers that have
        one to learn. With ``input_noise`` all of these are at the worst noise;
        "input_noise" is its radius in each pass, but validation meets all of it. The
        objective of the batch solver never rises once the noise is full.
    validation_scores_ : list of float or None
        Score on the validation data after each pass (see ``scoring``), where there are
        any.
    best_validation_score_ : float or None
        The best of them; with early stopping the weights are those of that pass.
    n_iter_ : int
        Passes begun.
    status_ : str
        Why training ended: "max_iter", "converged" (no improvement, or an optimum),
        "max_time", "interrupted" (Ctrl-C) or "callback" (which asked for it);
        "partial_fit" after a chunk, "converged" where early stopping needs no more.
    n_components_ : int
        Directions of the inputs in which the first layer was trained.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, when ``X`` has string column names.
    n_layers_ : int
        Number of layers, input and output included.
    n_outputs_ : int
        Number of outputs.
    out_activation_ : str
        "exp" for the Poisson loss, otherwise "identity".

    References
    ----------
    .. [1] A. Askari, G. Negiar, R. Sambharya, L. El Ghaoui, "Lifted neural networks",
       2018, arXiv:1805.01532.
    .. [2] F. Gu, A. Askari, L. El Ghaoui, "Fenchel lifted networks: a Lagrange
       relaxation of neural network training", 2020, arXiv:1811.08039.
    .. [3] F. Benzing, "Gradient descent on neurons and its link to approximate
       second-order optimization", 2022, arXiv:2201.12250.

    Examples
    --------
    >>> from liftnet import LiftedMLPRegressor
    >>> from sklearn.datasets import make_friedman1
    >>> X, y = make_friedman1(500, random_state=0)
    >>> reg = LiftedMLPRegressor(random_state=0).fit(X, y)
    >>> reg.score(X, y) > 0.9
    True
    """

    _parameter_constraints: dict = {  # noqa: RUF012 - scikit-learn's convention
        **LiftedMLPBase._parameter_constraints,
        # Noise that nobody asked for makes predictions of real targets worse.
        "input_noise": [Interval(Real, 0, None, closed="left")],
        # Names and parameters are checked by the core.
        "loss": [str],
    }

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        loss="squared_error",
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
        input_noise=0.0,
        accelerate=True,
        diagnostics=False,
        learn_activation=False,
        init=None,
        scoring=None,
        max_time=None,
        dropout=0.0,
    ):
        super().__init__(
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            solver=solver,
            divergence=divergence,
            penalty_weight=penalty_weight,
            alpha=alpha,
            penalty=penalty,
            batch_size=batch_size,
            learning_rate_init=learning_rate_init,
            momentum=momentum,
            max_iter=max_iter,
            damping=damping,
            scale=scale,
            n_components=n_components,
            tol=tol,
            n_iter_no_change=n_iter_no_change,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            warm_start=warm_start,
            random_state=random_state,
            n_jobs=n_jobs,
            verbose=verbose,
            input_noise=input_noise,
            accelerate=accelerate,
            diagnostics=diagnostics,
            learn_activation=learn_activation,
            init=init,
            scoring=scoring,
            max_time=max_time,
            dropout=dropout,
        )
        self.loss = loss

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = self.loss == "poisson"
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
    ):
        """Train the network.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs. Weights are in single precision for float32, in double for all else;
            the loop of the stochastic solver computes in single precision on both.
            Not copied; do not write to it from another thread meanwhile. Sparse ones
            are read row by row and never made dense as a whole; CSR is best.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets. 0 or more for the Poisson loss, and not all 0.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples, 0 or more. A weight of 0 removes a sample.
        X_val : {array-like, sparse matrix}, default=None
            Validation inputs of your own, with the features of ``X``, scored after
            every pass. With
            ``early_stopping=True`` they take the place of the share of ``X`` that would
            be set aside, and all of ``X`` is trained on; otherwise they are only
            watched, and the network is the same without them.
        y_val : array-like of shape (n_val_samples[, n_outputs]), default=None
            Their targets; required with ``X_val``.
        sample_weight_val : array-like of shape (n_val_samples,), default=None
            Weights of the validation samples in the score, 0 or more.

        Returns
        -------
        self : LiftedMLPRegressor

        Raises
        ------
        ValueError
            For non-finite or misshapen input, a target outside the domain of the loss,
            or a parameter outside its range. The estimator is then as it was before.
        MemoryError
            When the network would not fit into the machine's memory.

        Notes
        -----
        Ctrl-C stops within a batch, warns, and leaves the model of that moment.
        """
        given = _validation.together(X_val, y_val, sample_weight_val)
        return self._or_restore(self._fit, X, y, sample_weight, given)

    def _fit(self, X, y, sample_weight, given=None):
        out_activation = _core.inverse_link(self.loss)
        if issparse(y):
            raise TypeError(
                "Sparse data was passed for y, but dense data is required. Use "
                "'.toarray()' to convert it to a dense NumPy array."
            )
        X, y = self._validate_X(X, reset=True, y=y, multi_output=True, y_numeric=True)
        target = self._targets(y, X.dtype)
        X, target, sample_weight, unit = self._drop_weightless(X, target, sample_weight)
        n_outputs = target.shape[1]
        start = self._start_for(n_outputs, X) if self.warm_start else None
        if start is None:
            start = self._given(X, n_outputs, out_activation)
        self.out_activation_ = out_activation
        validation = None
        if given is not None:
            validation = self._validation_set(*given, n_outputs, X.dtype)
        elif self.early_stopping:
            X, target, sample_weight, validation = self._hold_out(
                X, target, sample_weight
            )
        self._train(
            X, target, n_outputs, self.loss, sample_weight, validation, start, unit
        )
        return self

    def _validation_set(self, X_val, y_val, sample_weight_val, n_outputs, dtype):
        """Check the user's validation data; targets must be as those of the fit."""
        X_val = _validation.checked_inputs(self, X_val, dtype)
        y_val = check_array(
            y_val, ensure_2d=False, dtype="numeric", input_name="y_val", estimator=self
        )
        check_consistent_length(X_val, y_val)
        try:
            target = self._targets(y_val, dtype)
        except ValueError as error:
            raise ValueError(f"y_val: {error}") from error
        if target.shape[1] != n_outputs:
            raise ValueError(
                f"y_val must have {n_outputs} columns, as y has, got {target.shape[1]}"
            )
        weight = _validation.checked_weights(sample_weight_val, X_val)
        return _validation.ValidationSet(X_val, target, weight)

    @available_if(_stream.is_available)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
    ):
        """Learn from a chunk of data, in one pass, and go on from there with the next.

        Between calls the estimator keeps the moments of all inputs and targets so far,
        by which they are centred, scaled and mapped, the weights, their momentum and
        metrics. The step is constant: ``learning_rate_init``, or a quarter of what
        "auto" would begin with; ``batch_size="auto"`` is 32. ``coefs_`` are running
        means of the weights over about the last tenth of all steps, at most the last
        thousand, so that predictions are good at any time. After :meth:`fit` it goes on
        from the weights of that, and before any from ``init`` or random weights; a
        later :meth:`fit` starts anew.

        ``alpha`` is divided by the number of samples so far. With
        ``early_stopping=True`` every call is scored on the same ``X_val``; the weights
        are those of the best call so far, and ``status_`` is "converged" once
        ``n_iter_no_change`` calls in a row did not better the score by ``tol``: no more
        chunks are needed then. ``max_iter``, ``validation_fraction``, ``max_time``,
        ``diagnostics`` and ``verbose`` are not used.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs of the chunk; later ones are taken in the precision of the first.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets, of as many outputs as in the first call.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples, 0 or more, relative to each other within the chunk.
        X_val : {array-like, sparse matrix}, default=None
            Validation data that the network is scored on after the chunk (see
            ``scoring``; here for targets over the spread of
            ``y_val``); required with ``early_stopping=True``.
        y_val : array-like, default=None
            Their targets, as ``y`` is; required with ``X_val``.
        sample_weight_val : array-like, default=None
            Their weights in the score.

        Returns
        -------
        self : LiftedMLPRegressor

        Raises
        ------
        ValueError
            For input that :meth:`fit` would refuse, or another architecture
            than that of the call before. The estimator is then as it was before.
        """
        given = _validation.together(X_val, y_val, sample_weight_val)
        return self._or_restore(self._partial_fit, X, y, sample_weight, given)

    def _partial_fit(self, X, y, sample_weight, given):
        out_activation = _core.inverse_link(self.loss)
        first = not hasattr(self, "coefs_")
        types = (np.float64, np.float32) if first else self.coefs_[0].dtype
        X, y = self._validate_X(
            X, reset=first, y=y, dtype=types, multi_output=True, y_numeric=True
        )
        target = self._targets(y, X.dtype)
        X, target, sample_weight, _ = self._drop_weightless(X, target, sample_weight)
        n_outputs = target.shape[1]
        if not first and n_outputs != self.n_outputs_:
            raise ValueError(
                f"partial_fit goes on with {self.n_outputs_} outputs, but y has "
                f"{n_outputs}"
            )
        start = None
        if not hasattr(self, "_stream"):
            start = self._previous(X) or self._given(X, n_outputs, out_activation)
        self.out_activation_ = out_activation
        validation = _stream.validation_set(self, given, n_outputs, X.dtype)
        _stream.train_chunk(
            self, X, target, n_outputs, self.loss, sample_weight, start, validation
        )
        return self

    def _losses(self, X, y):
        """Loss of each sample, targets in units of their own spread."""
        y = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
        prediction = self.predict(X).astype(np.float64).reshape(y.shape)
        kind, _, parameter = self.loss.partition("(")
        if kind == "poisson":
            unit = y.mean(axis=0)
            losses = prediction - xlogy(y, prediction)
            return (losses / np.where(unit > 0, unit, 1)).sum(axis=1)
        unit = y.std(axis=0)
        if kind != "squared_error":
            unit = _MEDIAN_DISTANCE * np.median(abs(y - np.median(y, axis=0)), axis=0)
        distance = abs(y - prediction) / np.where(unit > 0, unit, 1)
        if kind == "squared_error":
            losses = 0.5 * distance**2
        elif kind == "huber":
            value = parameter.rstrip(") ").rpartition("=")[2]
            losses = huber(float(value or _HUBER), distance)
        else:
            losses = distance
        return losses.sum(axis=1)

    def _targets_for_scorer(self, target):
        return target[:, 0] if target.shape[1] == 1 else target

    def _targets(self, y, dtype):
        """Targets of shape (n_samples, n_outputs), in the domain of the loss."""
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        with np.errstate(over="ignore"):
            target = np.ascontiguousarray(y.reshape(len(y), -1), dtype=dtype)
        finite = np.isfinite(target).all(axis=1)
        if not finite.all():
            row = int(np.flatnonzero(~finite)[0])
            raise ValueError(
                f"y holds {y[row]} at row {row}, beyond the range of {dtype}, the "
                "precision of X; pass X as float64"
            )
        _core.check_targets(target, self.loss)
        return target

    def _start_for(self, n_outputs, X):
        """Weights of the previous fit, if it had as many outputs."""
        start = self._previous(X)
        if start is not None and n_outputs != self.n_outputs_:
            raise ValueError(
                f"warm_start needs the {self.n_outputs_} outputs of the previous fit, "
                f"but y has {n_outputs}"
            )
        return start

    def predict(self, X):
        """Predicted targets.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            In the units of ``y`` and the precision of ``coefs_``; one-dimensional for a
            single output.
        """
        values = self._logits(X)
        if self.out_activation_ == "exp":
            values = np.exp(values)
        return values[:, 0] if self.n_outputs_ == 1 else values
