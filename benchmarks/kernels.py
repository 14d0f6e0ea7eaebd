"""Time the kernels beside SciPy and scikit-learn, in the same run on the same data.

Prints one line for each: seconds of both, their ratio, and how far the solutions are
apart. `scipy.optimize.nnls` takes one right side at a time and is called in a loop; by
default on all of them, which takes a while: ``--columns`` times fewer and scales up.
"""

from __future__ import annotations

import peers
from peers import timed


def main() -> None:
    """Run the comparison."""
    parser = peers.make_parser(__doc__, "20 right sides given to SciPy")
    add = parser.add_argument
    add("--columns", type=int, default=1000, help="right sides given to SciPy")
    args = parser.parse_args()
    if args.quick:
        args.columns = 20
    peers.use_threads(args.threads)
    machine = peers.print_machine(args.threads)

    print(f"\nkernels on {args.threads} threads\n")
    print(f"{'problem':48} {'peer s':>8} {'liftnet s':>9} {'ratio':>6}  difference")
    results = []
    problems = [("normal", 300), ("normal", 600), ("positive", 600), ("uniform", 300)]
    for name, rows in problems:
        results.append(non_negative(name, rows, args.columns))
    results.append(ridge_regression())
    results += softmax_regression()
    peers.write_json(args.json, machine, args, results=results)


def report(title, theirs, ours, difference):
    """Print and return one comparison."""
    ratio = f"{theirs / ours:5.1f}x"
    print(f"{title:48} {theirs:8.3f} {ours:9.3f} {ratio:>6}  {difference:.1e}")
    seconds = {"peer_seconds": theirs, "seconds": ours}
    return {"problem": title, **seconds, "difference": float(difference)}


def non_negative(name, rows, columns):
    """1,000 right sides of 300 unknowns against a loop of ``scipy.optimize.nnls``."""
    import numpy as np
    from scipy.optimize import nnls

    from liftnet.kernels import non_negative_least_squares

    rng = np.random.default_rng(0)
    draw = rng.random if name == "uniform" else rng.normal
    A, B = draw(size=(rows, 300)), draw(size=(rows, 1000))
    if name == "positive":
        # One eigenvalue above all others, and solutions with a share of zeros.
        A = np.abs(A)
        B = A @ np.maximum(rng.normal(size=(300, 1000)), 0) + 0.1 * B
    non_negative_least_squares(A, B[:, :8])
    result, ours = timed(lambda: non_negative_least_squares(A, B))
    peer, theirs = timed(lambda: [nnls(A, b)[0] for b in B.T[:columns]])
    difference = np.abs(np.transpose(peer) - result.solution[:, :columns]).max()
    title = f"non-negative, {rows} x 300 {name}, 1,000 columns"
    return report(title, theirs * 1000 / columns, ours, difference)


def ridge_regression():
    """Thirty right sides one after the other, as in cross-validation of targets."""
    import numpy as np
    from sklearn.linear_model import Ridge

    from liftnet.kernels import RidgeFactor

    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(10_000, 300)), rng.normal(size=(30, 10_000))

    def factored():
        factor = RidgeFactor(X, 1.0, fit_intercept=True)
        return np.array([factor.solve(y).solution for y in Y])

    factored()
    solutions, ours = timed(factored)
    peer, theirs = timed(lambda: np.array([Ridge(1.0).fit(X, y).coef_ for y in Y]))
    title = "ridge, 10,000 x 300, 30 targets in turn"
    return report(title, theirs, ours, np.abs(peer - solutions).max())


def softmax_regression():
    """Digits to a tight tolerance, against both of scikit-learn's Newton solvers."""
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    from liftnet.kernels import softmax_regression

    X, y = load_digits(return_X_y=True)
    alpha = 1e-2
    result, ours = timed(lambda: softmax_regression(X, y, alpha))
    rows = []
    for solver in ("newton-cg", "newton-cholesky"):
        peer = LogisticRegression(
            C=1 / (alpha * len(X)), solver=solver, tol=1e-10, max_iter=1000
        )
        _, theirs = timed(lambda: peer.fit(X, y))  # noqa: B023
        difference = np.abs(peer.coef_.T - result.solution).max()
        title = f"softmax, digits, {solver}"
        rows.append(report(title, theirs, ours, difference))
    return rows


if __name__ == "__main__":
    main()
