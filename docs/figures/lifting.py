"""Draw a plain network, one chain, above the lifted one, tied by springs."""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

BLUE, ORANGE, GREEN, GREY, INK = "#0072B2", "#D55E00", "#009E73", "#7A808A", "#22272E"
RADIUS = 0.36
STEP = 1.75
NAMES = ["x_0", "z_1", "x_1", "z_2", "x_2", "z_3"]
PLACES = [STEP * k for k in range(len(NAMES))]
LOSS = STEP * len(NAMES) + 0.12


def node(ax, x, text, colour, *, free=False):
    """Draw a circle: filled where its value is a variable of its own."""
    style = {"facecolor": colour if free else "white", "edgecolor": colour}
    ax.add_patch(Circle((x, 0), RADIUS, linewidth=2, zorder=3, **style))
    ink = "white" if free else colour
    place = {"ha": "center", "va": "center", "fontsize": 15, "zorder": 4}
    ax.text(x, -0.01, f"${text}$", color=ink, **place)


def arrow(ax, start, end, colour, *, bend=0.0, style="-"):
    """Draw an arrow between two points."""
    patch = FancyArrowPatch(
        start,
        end,
        arrowstyle="-|>",
        mutation_scale=16,
        shrinkA=0,
        shrinkB=0,
        color=colour,
        linewidth=1.9,
        linestyle=style,
        connectionstyle=f"arc3,rad={bend}",
        zorder=2,
    )
    ax.add_patch(patch)


def spring(ax, start, end, colour, coils=5, height=0.17):
    """Draw a spring from the circle at `start` to the one at `end`."""
    a, b = start + RADIUS, end - RADIUS
    t = np.linspace(0, 1, 800)
    coil = np.clip((t - 0.14) / 0.72, 0, 1)
    wave = height * np.sin(2 * np.pi * coils * coil)
    ax.plot(a + (b - a) * t, wave, color=colour, linewidth=2, zorder=2)


def common(ax, title):
    """Draw what both have: inputs, weights, the loss."""
    node(ax, PLACES[0], "x_0", INK)
    for layer in (1, 2, 3):
        start, end = PLACES[2 * layer - 2], PLACES[2 * layer - 1]
        arrow(ax, (start + RADIUS, 0), (end - RADIUS - 0.04, 0), INK)
        name = f"$W_{layer}, b_{layer}$"
        ax.text((start + end) / 2, 0.16, name, ha="center", fontsize=13, color=INK)
        node(ax, end, f"z_{layer}", GREY)
    arrow(ax, (PLACES[-1] + RADIUS, 0), (LOSS - 0.62, 0), INK)
    box = {"boxstyle": "round,pad=0.5", "facecolor": INK, "edgecolor": INK}
    place = {"ha": "center", "va": "center", "fontsize": 15, "zorder": 4}
    ax.text(LOSS, 0, r"$\ell(y, z_3)$", color="white", bbox=box, **place)
    ax.set_title(title, loc="left", fontsize=15, color=INK, fontweight="bold", pad=4)
    ax.set_xlim(-0.75, LOSS + 0.8)
    ax.set_aspect("equal")
    ax.set_axis_off()


def plain(ax):
    """Draw the chain, and the way back through all of it."""
    common(ax, "A plain network is one chain")
    for layer in (1, 2):
        start, end = PLACES[2 * layer - 1], PLACES[2 * layer]
        arrow(ax, (start + RADIUS, 0), (end - RADIUS - 0.04, 0), INK)
        place = {"ha": "center", "fontsize": 14, "color": INK}
        ax.text((start + end) / 2, 0.16, r"$\varphi$", **place)
        node(ax, end, f"x_{layer}", GREY)
    # The last hop ends at the first weights.
    stops = [LOSS, *PLACES[:0:-1], (PLACES[0] + PLACES[1]) / 2]
    factors = [r"\nabla \ell", "W_3", r"\varphi'", "W_2", r"\varphi'", ""]
    for (start, end), factor in zip(pairwise(stops), factors, strict=True):
        a, b = (start - 0.16, -0.5), (end + 0.16, -0.5)
        arrow(ax, a, b, ORANGE, bend=-0.28, style=(0, (4, 1.8)))
        place = {"ha": "center", "va": "top", "fontsize": 13, "color": ORANGE}
        ax.text((start + end) / 2, -0.85, f"${factor}$" if factor else "", **place)
    ax.text(
        (PLACES[0] + LOSS) / 2,
        -1.5,
        "back-propagation: one product of derivatives, from the loss through every "
        "layer to the first weights",
        ha="center",
        fontsize=13,
        color=ORANGE,
    )
    ax.set_ylim(-1.65, 0.75)


def lifted(ax):
    """Draw the layers apart: each output a variable, held to its layer by a spring."""
    common(ax, "Lifted, its layers are apart, and every block is convex")
    ends = [PLACES[1], PLACES[3], LOSS + 0.12]
    for layer, right in enumerate(ends, start=1):
        left = PLACES[2 * layer - 2]
        block = FancyBboxPatch(
            (left - 0.42, -0.5),
            right - left + 0.84,
            1.08,
            boxstyle="round,pad=0.04,rounding_size=0.2",
            facecolor="#EEF1F4",
            edgecolor="#D5DAE0",
            zorder=0,
        )
        ax.add_patch(block)
        text = f"weight block {layer}\nconvex in $W_{layer}, b_{layer}$"
        place = {"ha": "center", "va": "top", "fontsize": 13, "linespacing": 1.4}
        ax.text((left + right) / 2, -0.68, text, color=INK, **place)
    for layer in (1, 2):
        start, end = PLACES[2 * layer - 1], PLACES[2 * layer]
        spring(ax, start, end, GREEN)
        name = rf"$\lambda\,D(x_{layer}, z_{layer})$"
        place = {"ha": "center", "fontsize": 13, "color": GREEN}
        ax.text((start + end) / 2, 0.72, name, **place)
        node(ax, end, f"x_{layer}", BLUE, free=True)
        arrow(ax, (end, 1.2), (end, 0.5), BLUE)
        text = f"activation block {layer}\nconvex in $x_{layer}$"
        place = {"ha": "center", "fontsize": 13, "linespacing": 1.4}
        ax.text(end, 1.32, text, color=BLUE, **place)
    ax.set_ylim(-1.45, 2.05)


def main():
    """Draw both."""
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(10.5, 6.2), height_ratios=[2.4, 3.2], layout="constrained"
    )
    figure.get_layout_engine().set(h_pad=0.15)
    plain(above)
    lifted(below)


main()
