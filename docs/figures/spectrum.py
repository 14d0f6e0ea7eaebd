"""Draw what the spectral input map does to the digits."""

import matplotlib.pyplot as plt
import numpy as np

from liftnet import datasets

X, _ = datasets.load_digits(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std()
e, V = np.linalg.eigh(X.T @ X / len(X))
e, V = np.maximum(e[::-1], 0), V[:, ::-1]
damping = e.mean()  # up to 128 features damping is 1
k = np.arange(1, len(e) + 1)

figure, (left, middle, right) = plt.subplots(
    1, 3, figsize=(10.5, 3.2), layout="constrained"
)
left.semilogy(k, np.maximum(e, 1e-4), color="#0072B2", label="eigenvalue")
left.axhline(damping, color="#D55E00", linestyle="--", label="damping")
left.set(title="variance by direction", xlabel="direction", ylim=(1e-4, None))
left.legend(frameon=False)
middle.plot(k, np.sqrt(e / (e + damping)), color="#009E73")
middle.set(title="deviation after the map", xlabel="direction", ylim=(0, 1))
mosaic = np.block([[V[:, 4 * r + c].reshape(8, 8) for c in range(4)] for r in range(3)])
right.imshow(mosaic, cmap="RdBu_r", vmin=-0.4, vmax=0.4)
right.set_xticks(np.arange(7.5, 31, 8), [])
right.set_yticks(np.arange(7.5, 23, 8), [])
right.grid(color="white", linewidth=2)
right.tick_params(length=0)
right.set_title("the first twelve directions")
for ax in (left, middle):
    ax.spines[["top", "right"]].set_visible(False)
