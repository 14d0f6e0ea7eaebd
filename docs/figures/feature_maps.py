"""Draw what the units of the first layer look for."""

from liftnet import FeatureMapDisplay, LiftedMLPClassifier, datasets

X, y = datasets.load_digits(return_X_y=True)
clf = LiftedMLPClassifier((24,), random_state=0).fit(X, y)
FeatureMapDisplay.from_estimator(clf)
