"""Draw one run, and three runs of different lengths."""

import matplotlib.pyplot as plt

from liftnet import ConvergenceDisplay, LiftedMLPClassifier, datasets

X, y = datasets.load_digits(return_X_y=True)
fits = {
    f"{passes} passes": LiftedMLPClassifier(
        max_iter=passes, early_stopping=True, random_state=0
    ).fit(X, y)
    for passes in (5, 10, 30)
}
_, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
ConvergenceDisplay.from_estimator(
    fits["30 passes"], metrics=["loss", "validation_loss", "learning_rate"], ax=left
)
ConvergenceDisplay.from_estimator(fits, metrics="validation_loss", ax=right)
