"""Draw the digits in two dimensions, by PCA and by a hidden layer."""

import matplotlib.pyplot as plt
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from liftnet import LiftedMLPClassifier, datasets

X, y = datasets.load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
clf = LiftedMLPClassifier(
    (100, 2), activation=["relu", "identity"], max_iter=100, random_state=0
).fit(X_train, y_train)
pictures = {
    "PCA": PCA(2).fit(X_train).transform(X_test),
    "a hidden layer of two units": clf.transform(X_test),
}
_, axes = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
for ax, (title, points) in zip(axes, pictures.items(), strict=True):
    dots = ax.scatter(*points.T, c=y_test, cmap="tab10", s=14)
    ax.set_title(f"{title}, test data")
axes[1].legend(*dots.legend_elements(), bbox_to_anchor=(1.01, 1), frameon=False)
