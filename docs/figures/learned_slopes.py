"""Draw a learned slope, pass by pass, from three starts."""

import matplotlib.pyplot as plt

from liftnet import ConvergenceDisplay, LiftedMLPClassifier, datasets

X, y = datasets.load_digits(return_X_y=True)
fits = {
    f"from {slope}": LiftedMLPClassifier(
        (60,),
        activation=f"leaky_relu(slope={slope})",
        learn_activation=True,
        random_state=0,
    ).fit(X, y)
    for slope in (0.01, 0.3, 1.0)
}
_, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
ConvergenceDisplay.from_estimator(fits, metrics="activation_parameter", ax=ax)
