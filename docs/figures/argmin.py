"""Draw an activation as the argmin of a convex problem, and its divergence."""

import matplotlib.pyplot as plt
import numpy as np

import liftnet

COLOURS = {-1.0: "#D55E00", 0.7: "#0072B2", 1.8: "#009E73"}
INK = "#22272E"


def draw(axes, name):
    """Draw one activation in a row of three."""
    (activation,) = liftnet.activations(name)
    low, high = np.clip(activation.domain, -2.4, 2.4)
    x, z = np.linspace(low, high, 801), np.linspace(-2.4, 2.4, 801)
    problem, function, divergence = axes
    function.plot(z, activation.phi(z), color=INK, linewidth=2)
    for at, colour in COLOURS.items():
        best = float(activation.phi(at))
        line = {"color": colour, "linewidth": 2}
        dot = {"marker": "o", "color": colour, "markersize": 8, "zorder": 4}
        problem.plot(x, activation.f(x) - x * at, label=f"$z = {at:g}$", **line)
        problem.plot(best, float(activation.f(best)) - best * at, **dot)
        function.plot([at, at, -2.4], [-2.4, best, best], color=colour, alpha=0.35)
        function.plot(at, best, **dot)
        divergence.plot(x, activation.divergence(x, at), **line)
        divergence.plot(best, 0, clip_on=False, **dot)
    problem.set(xlim=(low - 0.25, high + 0.25), ylim=(-2.2, 2.6), xlabel="$x$")
    function.set(xlim=(-2.4, 2.4), ylim=(-1.5, 2.4), xlabel="$z$")
    divergence.set(xlim=(low - 0.25, high + 0.25), ylim=(0, 3), xlabel="$x$")
    problem.set_ylabel(name, fontsize=13, fontweight="bold", labelpad=8)
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.2)


def main():
    """Draw a rectifier and a sigmoid."""
    _, axes = plt.subplots(2, 3, figsize=(10.5, 6), layout="constrained")
    for row, name in zip(axes, ("relu", "tanh"), strict=True):
        draw(row, name)
    titles = (
        r"a convex problem: $f(x) - x z$",
        r"its argmin: $x = \varphi(z)$",
        r"what a distance costs: $D(x, z)$",
    )
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title, fontsize=13, color=INK, pad=10)
    axes[0, 0].legend(frameon=False, loc="upper left")


main()
