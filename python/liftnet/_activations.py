"""The activations by formula, by value and by picture."""

from dataclasses import dataclass, field
from html import escape

import numpy as np

from liftnet import _core, _pictures


@dataclass(frozen=True)
class Activation:
    r"""An activation :math:`\varphi(z) = \arg\min_x f(x) - \langle x, z \rangle`.

    Formulas are LaTeX in x, z and the letter of the parameter; values come from the
    code that trains. ``str(activation)`` is the notation that estimators take.

    Attributes
    ----------
    name : str
        Name, without the parameter.
    parameter : str or None
        Name of the parameter.
    value, default : float or None
        Its value here, and where none is given.
    range : (float, float) or None
        Its least and greatest value.
    symbol : str or None
        Its letter in the formulas.
    phi_latex, f_latex, conjugate_latex, domain_latex : str
        The function, the potential f, its convex conjugate :math:`f^*` (the integral of
        :math:`\varphi`), and where f is finite.
    slope_bound : float
        Greatest slope of :math:`\varphi`; infinite where it jumps.
    domain : (float, float)
        Closed interval that holds the domain of f, for each unit.
    lifted : str
        The activation whose potentials the lifted problem uses: this one, but for
        "step" and "sign" a clip of the same range.
    """

    name: str
    parameter: str | None
    value: float | None
    default: float | None
    range: tuple[float, float] | None
    symbol: str | None
    phi_latex: str
    f_latex: str
    conjugate_latex: str
    domain_latex: str
    slope_bound: float
    domain: tuple[float, float]
    lifted: str
    _text: str = field(repr=False)

    def __str__(self):
        return self._text

    def phi(self, z):
        """Value of the activation.

        Parameters
        ----------
        z : array-like
            Pre-activations; for "softmax" of shape (..., n_units).

        Returns
        -------
        ndarray of z's shape
        """
        z = np.asarray(z, dtype=np.float64)
        return self._values(z, z)[0]

    def f(self, x):
        """Value of the potential, infinite outside its domain.

        Parameters
        ----------
        x : array-like
            Activations; for "softmax" of shape (..., n_units).

        Returns
        -------
        ndarray
            Of x's shape; for "softmax" without the last axis.
        """
        x = np.asarray(x, dtype=np.float64)
        return self._values(x, np.zeros_like(x))[1]

    def conjugate(self, z):
        """Value of the conjugate, the integral of the activation.

        Parameters
        ----------
        z : array-like
            Pre-activations; for "softmax" of shape (..., n_units).

        Returns
        -------
        ndarray
            Of z's shape; for "softmax" without the last axis.
        """
        z = np.asarray(z, dtype=np.float64)
        return self._values(z, z)[2]

    def divergence(self, x, z):
        r"""Fenchel-Young divergence :math:`f(x) + f^*(z) - \langle x, z \rangle \ge 0`.

        Parameters
        ----------
        x, z : array-like
            Activations and pre-activations, of shapes that broadcast; for "softmax"
            (..., n_units).

        Returns
        -------
        ndarray
            Of the common shape; for "softmax" without the last axis.
        """
        return self._values(*np.broadcast_arrays(x, z))[3]

    def _values(self, x, z):
        """Return phi(z), f(x), f*(z) and D(x, z) in the shape of the arguments."""
        coupled = self.name == "softmax"
        if coupled and z.ndim == 0:
            raise ValueError("softmax needs an axis of units, got a number")
        units = z.shape[-1] if coupled else 1
        rows = (np.ascontiguousarray(a, dtype=np.float64) for a in (x, z))
        phi, *columns = _core.activation_values(
            self._text, *(a.reshape(-1, units) for a in rows)
        )
        shape = z.shape[:-1] if coupled else z.shape
        return phi.reshape(z.shape), *(column.reshape(shape) for column in columns)

    def plot(self, ax=None):
        r"""Draw :math:`\varphi`, f, :math:`f^*` and D(·, z) for three z.

        Softmax is drawn for two units, as a function of the first with the second at 0.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; a new figure by default.

        Returns
        -------
        ax : matplotlib.axes.Axes

        Raises
        ------
        ImportError
            Without Matplotlib.
        """
        if ax is None:
            ax = _pictures.pyplot().subplots(figsize=(4.2, 3.6), layout="constrained")[
                1
            ]
        low, high = (-4.0, 4.0)
        z = np.linspace(low, high, 1601)
        start, end = np.clip(self.domain, low, high)
        x = np.linspace(start, end, 1601)
        ax.axhline(0, color="0.85", linewidth=0.8, zorder=0)
        ax.axvline(0, color="0.85", linewidth=0.8, zorder=0)
        phi, conjugate = self._pictured(z, "phi"), self._pictured(z, "conjugate")
        # No line across a jump.
        phi[1:][np.abs(np.diff(phi)) > 0.4] = np.nan
        ax.plot(z, phi, color="C0", linewidth=2.2, label=r"$\varphi$", zorder=3)
        # The thinner line on top: the two coincide in places.
        ax.plot(z, conjugate, color="C2", linewidth=2.2, label="$f^*$")
        potential = self._pictured(x, "f")
        ax.plot(x, potential, color="C1", linewidth=1.2, label="$f$")
        for at, style in zip((-1.5, 0.5, 2.0), (":", "--", "-."), strict=True):
            d = self._pictured(x, "divergence", at)
            label = f"$D(\\cdot, {at:g})$"
            ax.plot(x, d, color="0.45", linewidth=1, linestyle=style, label=label)
        ax.set(xlim=(low, high), ylim=(-2, 4), title=str(self))
        ax.legend(loc="upper left", fontsize="x-small", ncols=2, framealpha=0.7)
        return ax

    def _pictured(self, v, function, *at):
        """Values along a line: for softmax that of two units, the second fixed."""
        if self.name != "softmax":
            return getattr(self, function)(v, *at)
        fixed = np.zeros_like(v) if function in ("phi", "conjugate") else 1 - v
        pairs = np.stack([v, fixed], axis=-1)
        values = getattr(self, function)(pairs, *([z, 0.0] for z in at))
        return values[..., 0] if function == "phi" else values

    def _repr_html_(self):
        return ActivationTable([self])._repr_html_()


class ActivationTable(tuple):
    """Activations in the order of the documentation; a table in notebooks."""

    __slots__ = ()

    def __repr__(self):
        return f"<activations {', '.join(map(str, self))}>"

    def _repr_html_(self):
        heads = (
            "activation",
            "parameter",
            r"$\varphi(z)$",
            "$f(x)$",
            "domain of $f$",
            "$f^*(z)$",
            r"$\sup \varphi'$",
        )
        lines = ["<table>", _line("th", heads)]
        for one in self:
            if one.parameter is None:
                parameter = ""
            else:
                low, high = one.range
                parameter = (
                    f"{one.parameter} ${one.symbol}$ = {one.value:g} in "
                    f"[{low:g}, {high:g}]"
                )
            formulas = (one.phi_latex, one.f_latex, one.domain_latex)
            slope = "jumps" if np.isinf(one.slope_bound) else f"{one.slope_bound:g}"
            cells = [f"<code>{one.name}</code>", parameter]
            cells += [f"${escape(formula)}$" for formula in formulas]
            cells += [f"${escape(one.conjugate_latex)}$", slope]
            lines.append(_line("td", cells))
        return "\n".join([*lines, "</table>"])

    def plot(self):
        """Draw all of them.

        Returns
        -------
        figure : matplotlib.figure.Figure

        Raises
        ------
        ImportError
            Without Matplotlib.
        """
        columns = min(4, len(self))
        rows = -(-len(self) // columns)
        figure, axes = _pictures.pyplot().subplots(
            rows,
            columns,
            figsize=(3.4 * columns, 3.0 * rows),
            layout="constrained",
            squeeze=False,
        )
        for ax, one in zip(axes.flat, self, strict=False):
            one.plot(ax)
        for ax in axes.flat[len(self) :]:
            ax.remove()
        for ax in axes.flat[1 : len(self)]:
            ax.get_legend().remove()
        return figure


def activations(*names):
    r"""List the activations, with formulas, values and pictures.

    Parameters
    ----------
    *names : str
        Which ones, in the notation of the estimators' ``activation``, such as
        ``"elu"`` or ``"elu(alpha=0.5)"``. All by default.

    Returns
    -------
    table : tuple of Activation
        Shown as a table in notebooks; ``table.plot()`` draws them, ``table[i].plot()``
        one of them.

    Raises
    ------
    ValueError
        For an unknown name, or a parameter outside its range.

    Examples
    --------
    >>> import liftnet
    >>> relu, elu = liftnet.activations("relu", "elu(alpha=0.5)")
    >>> relu.conjugate_latex
    '\\frac{1}{2}\\,\\max(0, z)^2'
    >>> elu.phi([-1e9, 2.0]).tolist()
    [-0.5, 2.0]
    """
    return ActivationTable(map(_make, names or _core.activation_names()))


def _make(text):
    info = _core.activation_info(text)
    symbol, phi, f, domain, conjugate = _FORMULAS[info.name]
    parameter, value, default, limits = info.parameter or (None,) * 4
    return Activation(
        name=info.name,
        parameter=parameter,
        value=value,
        default=default,
        range=limits,
        symbol=symbol,
        phi_latex=phi,
        f_latex=f,
        conjugate_latex=conjugate,
        domain_latex=domain,
        slope_bound=info.slope_bound,
        domain=info.domain,
        lifted=info.lifted,
        _text=info.text,
    )


def _line(tag, cells):
    return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>"


# Letter of the parameter, phi, f, its domain, f*. A thin space (\,) always means times:
# the tests read these formulas and compare them with the core.
_FORMULAS = {
    "identity": (
        None,
        r"z",
        r"\frac{1}{2}\,x^2",
        r"\mathbb{R}",
        r"\frac{1}{2}\,z^2",
    ),
    "relu": (
        None,
        r"\max(0, z)",
        r"\frac{1}{2}\,x^2",
        r"x \ge 0",
        r"\frac{1}{2}\,\max(0, z)^2",
    ),
    "leaky_relu": (
        "s",
        r"\max(z, s\,z)",
        r"\begin{cases} \frac{1}{2}\,x^2 & x \ge 0 \\ \frac{1}{2\,s}\,x^2 & x < 0"
        r" \end{cases}",
        r"\mathbb{R}",
        r"\begin{cases} \frac{1}{2}\,z^2 & z \ge 0 \\ \frac{s}{2}\,z^2 & z < 0"
        r" \end{cases}",
    ),
    "clipped_relu": (
        "c",
        r"\min(c, \max(0, z))",
        r"\frac{1}{2}\,x^2",
        r"0 \le x \le c",
        r"\frac{1}{2}\,\max(0, z)^2 - \frac{1}{2}\,\max(0, z - c)^2",
    ),
    "hard_tanh": (
        None,
        r"\min(1, \max(-1, z))",
        r"\frac{1}{2}\,x^2",
        r"|x| \le 1",
        r"\frac{1}{2}\,z^2 - \frac{1}{2}\,\max(0, |z| - 1)^2",
    ),
    "hard_sigmoid": (
        "s",
        r"\min(1, \max(0, \frac{1}{2} + s\,z))",
        r"\frac{1}{2\,s}\,(x - \frac{1}{2})^2",
        r"0 \le x \le 1",
        r"\frac{1}{2}\,z + \frac{s}{2}\,z^2"
        r" - \frac{s}{2}\,\max(0, |z| - \frac{1}{2\,s})^2",
    ),
    "logistic": (
        None,
        r"\frac{1}{1 + e^{-z}}",
        r"x\,\ln(x) + (1 - x)\,\ln(1 - x)",
        r"0 \le x \le 1",
        r"\ln(1 + e^{z})",
    ),
    "tanh": (
        None,
        r"\tanh(z)",
        r"\frac{1 + x}{2}\,\ln(1 + x) + \frac{1 - x}{2}\,\ln(1 - x)",
        r"|x| \le 1",
        r"\ln(\cosh(z))",
    ),
    "softplus": (
        None,
        r"\ln(1 + e^{z})",
        r"\int_0^x \ln(e^{t} - 1)\,dt",
        r"x \ge 0",
        r"-\mathrm{Li}_2(-e^{z})",
    ),
    "elu": (
        "a",
        r"\begin{cases} z & z \ge 0 \\ a\,(e^{z} - 1) & z < 0 \end{cases}",
        r"\begin{cases} \frac{1}{2}\,x^2 & x \ge 0 \\"
        r" (a + x)\,\ln(1 + \frac{x}{a}) - x & x < 0 \end{cases}",
        r"x \ge -a",
        r"\begin{cases} \frac{1}{2}\,z^2 & z \ge 0 \\ a\,(e^{z} - z - 1) & z < 0"
        r" \end{cases}",
    ),
    "softsign": (
        None,
        r"\frac{z}{1 + |z|}",
        r"-|x| - \ln(1 - |x|)",
        r"|x| < 1",
        r"|z| - \ln(1 + |z|)",
    ),
    "arctan": (
        None,
        r"\arctan(z)",
        r"-\ln(\cos(x))",
        r"|x| < \frac{\pi}{2}",
        r"z\,\arctan(z) - \frac{1}{2}\,\ln(1 + z^2)",
    ),
    "soft_threshold": (
        "t",
        r"z - \min(t, \max(-t, z))",
        r"\frac{1}{2}\,x^2 + t\,|x|",
        r"\mathbb{R}",
        r"\frac{1}{2}\,\max(0, |z| - t)^2",
    ),
    "step": (
        None,
        r"\begin{cases} 1 & z > 0 \\ 0 & z \le 0 \end{cases}",
        r"0",
        r"0 \le x \le 1",
        r"\max(0, z)",
    ),
    "sign": (
        None,
        r"\mathrm{sign}(z)",
        r"0",
        r"|x| \le 1",
        r"|z|",
    ),
    "softmax": (
        None,
        r"e^{z_i} / \sum_j e^{z_j}",
        r"\sum_i x_i\,\ln(x_i)",
        r"x \ge 0, \sum_i x_i = 1",
        r"\ln(\sum_i e^{z_i})",
    ),
}
