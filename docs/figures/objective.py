"""Draw the batch solver's objective, its terms, and how it settles."""

import matplotlib.pyplot as plt

from liftnet import ConvergenceDisplay, LiftedMLPClassifier, datasets

X, y = datasets.load_digits(return_X_y=True)
clf = LiftedMLPClassifier((50,), solver="batch", random_state=0).fit(X, y)
_, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
ConvergenceDisplay.from_estimator(
    clf, metrics=["objective", "lifted_loss", "penalty", "divergence"], ax=left
)
ConvergenceDisplay.from_estimator(clf, metrics=["gap", "residual"], ax=right)
