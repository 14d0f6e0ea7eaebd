"""What all pictures need: Matplotlib, and the network that is to be shown."""

from sklearn.utils.validation import check_is_fitted


def pyplot():
    """Import Matplotlib, or say what to install."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            "pictures need Matplotlib; install it with: pip install 'liftnet[plot]'"
        ) from error
    return pyplot


def fitted_network(estimator):
    """Look into pipelines and meta-estimators for the fitted network they hold."""
    while not hasattr(estimator, "coefs_"):
        if hasattr(estimator, "steps"):
            estimator = estimator.steps[-1][1]
            continue
        inner = (
            getattr(estimator, name, None)
            for name in ("best_estimator_", "estimator_", "regressor_")
        )
        found = next((one for one in inner if hasattr(one, "fit")), None)
        if found is None:
            break
        estimator = found
    check_is_fitted(estimator)
    return estimator
