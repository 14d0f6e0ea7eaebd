//! Least squares between bounds, for many right sides that share their matrix.
//!
//! ```text
//! min over x:  ½‖A x − b‖²  =  ½ xᵀG x − cᵀx + const,   lower ≤ x ≤ upper,   G = AᵀA,  c = Aᵀb
//! ```
//!
//! for each of many b. Non-negative least squares has bounds 0 and ∞; "euclidean" activation
//! blocks of piecewise-linear activations are of this form too.
//!
//! The alternating direction method of multipliers (Boyd et al. 2011), for many right sides at a
//! time, is one product of matrices an iteration and finds most of the active bounds. Block
//! principal pivoting (Portugal, Júdice, Vicente 1994; Kim, Park 2011) then solves exactly, mostly
//! in one exchange; in the rare case that it cycles, projected Newton steps (Bertsekas 1982)
//! descend instead. G is scaled to unit diagonal first, so the units of the unknowns do not matter.

use super::{Report, Stopping};
use crate::error::{Error, Result};
use crate::linalg::{
    Threads, add_upper_gram, axpy, damped_inverse, dot, factor_upper, mirror, product, solve_upper_vector,
};
use crate::real::Real;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut1, ArrayViewMut2, Axis, Zip};
use rayon::prelude::*;

/// Right sides that are solved together on one thread.
const TILE: usize = 64;
/// Exchanges without a new minimum of violations after which pivoting counts as cycling.
const PATIENCE: usize = 4;
/// Weight of x = z in the alternating directions. With unit diagonal the mean eigenvalue is 1; on
/// Gaussian, uniform and absolute-Gaussian matrices, square or tall, between 0.1 and 0.3 forty
/// iterations leave one exchange for most right sides, 0.03 and 1 leave several for some.
const COUPLING: f64 = 0.2;
/// Over-relaxation of the alternating directions.
const RELAXATION: f64 = 1.6;
/// Iterations of the alternating directions at most; one takes a hundredth of an exchange.
const ALTERNATIONS: usize = 40;
/// Iterations without a change of the active bounds that end them earlier.
const SETTLED: usize = 4;

/// Lower and upper bounds, one pair for each unknown.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds<T> {
    lower: Array1<T>,
    upper: Array1<T>,
}

impl<T: Real> Bounds<T> {
    /// Checks that there is a point between them; −∞ and +∞ stand for no bound.
    ///
    /// # Errors
    /// [`Error::Shape`] for different lengths, [`Error::Parameter`] named `lower` or `upper` for
    /// NaN, for a lower bound above the upper, and for a lower bound of +∞ or an upper of −∞.
    pub fn new(lower: Array1<T>, upper: Array1<T>) -> Result<Self> {
        if lower.len() != upper.len() {
            return Err(Error::Shape {
                argument: "upper".into(),
                got: vec![upper.len()],
                expected: format!("({},), as lower has", lower.len()),
            });
        }
        for (i, (&low, &high)) in lower.iter().zip(&upper).enumerate() {
            let wrong = |name, got: T, allowed: String| Error::Parameter {
                name,
                got: format!("{got} at index {i}"),
                allowed: allowed.into(),
            };
            if low.is_nan() || low == T::infinity() {
                return Err(wrong("lower", low, "numbers or -inf".into()));
            }
            if high.is_nan() || high == T::neg_infinity() {
                return Err(wrong("upper", high, "numbers or inf".into()));
            }
            if low > high {
                return Err(wrong("lower", low, format!("at most upper, which is {high} there")));
            }
        }
        Ok(Self { lower, upper })
    }

    /// x ≥ 0 for n unknowns.
    pub fn non_negative(n: usize) -> Self {
        Self { lower: Array1::zeros(n), upper: Array1::from_elem(n, T::infinity()) }
    }

    /// Number of unknowns.
    pub fn len(&self) -> usize {
        self.lower.len()
    }

    /// True without unknowns.
    pub fn is_empty(&self) -> bool {
        self.lower.is_empty()
    }
}

/// The prepared problem: G scaled, bounds checked; [`BoundedLeastSquares::solve`] any number of
/// right sides.
#[derive(Debug)]
pub struct BoundedLeastSquares<T> {
    /// SGS with unit diagonal, or zero rows.
    gram: Array2<T>,
    /// (SGS + [`COUPLING`] I)⁻¹.
    coupled: Array2<T>,
    /// Diagonal of S: 1/√G_ii, or 1 where G_ii = 0.
    scale: Array1<T>,
    bounds: Bounds<T>,
    /// Bounds of S⁻¹x.
    scaled: Bounds<T>,
}

impl<T: Real> BoundedLeastSquares<T> {
    /// From a symmetric positive semidefinite G, `(n_unknowns, n_unknowns)`.
    ///
    /// # Errors
    /// [`Error::Shape`] where shapes differ, [`Error::NonFinite`] for NaN or infinity in G,
    /// [`Error::Parameter`] for a negative diagonal entry, [`Error::Factorisation`] for a G that is
    /// clearly indefinite.
    pub fn new(gram: ArrayView2<'_, T>, bounds: Bounds<T>) -> Result<Self> {
        let n = bounds.len();
        if gram.dim() != (n, n) {
            return Err(Error::Shape {
                argument: "gram".into(),
                got: gram.shape().to_vec(),
                expected: format!("({n}, {n}), {n} being the number of bounds"),
            });
        }
        if let Some(((i, j), value)) = gram.indexed_iter().find(|(_, value)| !value.is_finite()) {
            let argument = "the Gram matrix".into();
            return Err(Error::NonFinite { argument, index: vec![i, j], value: value.f64() });
        }
        if let Some((i, value)) = gram.diag().indexed_iter().find(|&(_, &value)| value < T::zero()) {
            return Err(Error::Parameter {
                name: "gram",
                got: format!("{value} at index [{i}, {i}]"),
                allowed: "positive semidefinite".into(),
            });
        }
        let scale = gram.diag().mapv(|v| if v > T::zero() { v.sqrt().recip() } else { T::one() });
        let mut gram = gram.to_owned();
        for (mut row, &si) in gram.rows_mut().into_iter().zip(&scale) {
            Zip::from(&mut row).and(&scale).for_each(|v, &sj| *v *= si * sj);
        }
        let scaled = Bounds { lower: &bounds.lower / &scale, upper: &bounds.upper / &scale };
        let coupled = damped_inverse(gram.view(), &vec![T::of(COUPLING); n], Threads::All)?;
        Ok(Self { gram, coupled, scale, bounds, scaled })
    }

    /// Minimises ½ xᵀG x − cᵀx between the bounds for every row c of `rhs`.
    ///
    /// * `rhs`: `(n_problems, n_unknowns)`, finite;
    /// * `solution`: `(n_problems, n_unknowns)`; on entry where to start (anything finite, zeros
    ///   for instance), on exit the minimisers, exactly on their bounds where these are active.
    ///
    /// The residual of a problem is ‖p‖ / (‖c‖ + ‖x‖), p being the projected gradient: G x − c
    /// without the entries that push against an active bound; all in the units that give G a unit
    /// diagonal. Where G is singular and c in its range (it is, as Aᵀb), some minimiser is found.
    /// The right sides are shared out over the current thread pool; the bits do not depend on it.
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn solve(
        &self,
        rhs: ArrayView2<'_, T>,
        mut solution: ArrayViewMut2<'_, T>,
        stopping: Stopping<'_>,
    ) -> Result<Report> {
        let n = self.bounds.len();
        for (argument, shape) in [("rhs", rhs.shape()), ("solution", solution.shape())] {
            if shape != [rhs.nrows(), n] {
                let expected = format!("({}, {n})", rhs.nrows());
                return Err(Error::Shape { argument: argument.into(), got: shape.to_vec(), expected });
            }
        }
        Ok(solution
            .axis_chunks_iter_mut(Axis(0), TILE)
            .into_par_iter()
            .zip(rhs.axis_chunks_iter(Axis(0), TILE))
            .with_max_len(1)
            .map(|(solution, rhs)| self.solve_tile(rhs, solution, stopping))
            .reduce(|| Report::DONE, Report::and))
    }

    fn solve_tile(
        &self,
        rhs: ArrayView2<'_, T>,
        mut solution: ArrayViewMut2<'_, T>,
        stopping: Stopping<'_>,
    ) -> Report {
        // Row after row, whatever the caller's layout.
        let (mut x, mut scaled) = (Array2::zeros(rhs.raw_dim()), Array2::zeros(rhs.raw_dim()));
        scaled.assign(&rhs);
        scaled *= &self.scale;
        let rhs = scaled;
        for (mut x, start) in x.rows_mut().into_iter().zip(solution.rows()) {
            let bounds = Zip::from(&self.scaled.lower).and(&self.scaled.upper);
            bounds
                .and(&mut x)
                .and(start)
                .and(&self.scale)
                .for_each(|&low, &high, x, &start, &scale| *x = clip(start / scale, low, high));
        }
        self.alternate(rhs.view(), &mut x, stopping);
        let mut report = Report::DONE;
        let mut newton = Newton::new(self);
        for ((mut x, c), target) in x.rows_mut().into_iter().zip(rhs.rows()).zip(solution.rows_mut()) {
            if (stopping.interrupted)() {
                return report.and(Report { n_iter: 0, residual: f64::INFINITY, converged: false });
            }
            if let (Some(x), Some(c)) = (x.as_slice_mut(), c.as_slice()) {
                report = report.and(newton.solve(x, c, stopping));
            }
            self.unscale(x.view(), target);
        }
        report
    }

    /// Alternating directions: x solves the system coupled to z, z is x moved into the bounds, u
    /// sums up their differences. On exit `z` is near the solutions, and between the bounds.
    fn alternate(&self, rhs: ArrayView2<'_, T>, z: &mut Array2<T>, stopping: Stopping<'_>) {
        let (coupling, relaxation) = (T::of(COUPLING), T::of(RELAXATION));
        let Bounds { lower, upper } = &self.scaled;
        // From the multipliers of the starting point.
        let mut u = rhs.to_owned();
        product(-T::one(), z.view(), self.gram.view(), T::one(), u.view_mut(), Threads::One);
        for (mut u, z) in u.rows_mut().into_iter().zip(z.rows()) {
            Zip::from(&mut u).and(z).and(lower).and(upper).for_each(|u, &z, &low, &high| {
                *u = match (z <= low, z >= high) {
                    (true, true) => *u,
                    (true, false) => u.min(T::zero()),
                    (false, true) => u.max(T::zero()),
                    (false, false) => T::zero(),
                } / coupling;
            });
        }
        let (mut pull, mut x) = (rhs.to_owned(), Array2::zeros(z.raw_dim()));
        let mut settled = 0;
        for _ in 0..ALTERNATIONS {
            for (((pull, c), z), u) in pull.rows_mut().into_iter().zip(rhs.rows()).zip(z.rows()).zip(u.rows())
            {
                for (((pull, &c), &z), &u) in pull.into_iter().zip(c).zip(z).zip(u) {
                    *pull = c + coupling * (z - u);
                }
            }
            product(T::one(), pull.view(), self.coupled.view(), T::zero(), x.view_mut(), Threads::One);
            let mut changes = 0;
            for ((x, z), u) in x.rows().into_iter().zip(z.rows_mut()).zip(u.rows_mut()) {
                for ((((&x, z), u), &low), &high) in x.into_iter().zip(z).zip(u).zip(lower).zip(upper) {
                    let relaxed = *z + relaxation * (x - *z) + *u;
                    let target = clip(relaxed, low, high);
                    let bounds = (low, high);
                    changes += usize::from(is_bound(*z, bounds) != is_bound(target, bounds));
                    (*z, *u) = (target, relaxed - target);
                }
            }
            settled = if changes > 0 { 0 } else { settled + 1 };
            if settled == SETTLED || (stopping.interrupted)() {
                break;
            }
        }
    }

    /// Writes the solution in the caller's units, exactly on its active bounds.
    fn unscale(&self, x: ArrayView1<'_, T>, mut target: ArrayViewMut1<'_, T>) {
        for (i, (target, &x)) in target.iter_mut().zip(x).enumerate() {
            let (low, high) = (self.bounds.lower[i], self.bounds.upper[i]);
            *target = if x <= self.scaled.lower[i] {
                low
            } else if x >= self.scaled.upper[i] {
                high
            } else {
                (x * self.scale[i]).max(low).min(high)
            };
        }
    }
}

/// min over X:  ½‖A X − B‖²,  lower ≤ X ≤ upper (bounds by unknown, the same for every column).
///
/// * `a`: `(n_samples, n_unknowns)`, `b`: `(n_samples, n_problems)`;
/// * `solution`: `(n_problems, n_unknowns)`, the transpose of X; its values on entry are the start.
///
/// A is squared: digits are lost in proportion to the square of its condition number.
///
/// # Errors
/// Those of [`BoundedLeastSquares::new`], and [`Error::Shape`].
pub fn bounded_least_squares<T: Real>(
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    bounds: Bounds<T>,
    solution: ArrayViewMut2<'_, T>,
    stopping: Stopping<'_>,
) -> Result<Report> {
    let n = a.ncols();
    if b.nrows() != a.nrows() {
        let expected = format!("{} rows, as A has", a.nrows());
        return Err(Error::Shape { argument: "B".into(), got: b.shape().to_vec(), expected });
    }
    let mut gram = Array2::zeros((n, n));
    add_upper_gram(T::one(), a, gram.view_mut(), Threads::All);
    mirror(&mut gram);
    let mut rhs = Array2::zeros((b.ncols(), n));
    product(T::one(), b.t(), a, T::zero(), rhs.view_mut(), Threads::All);
    BoundedLeastSquares::new(gram.view(), bounds)?.solve(rhs.view(), solution, stopping)
}

/// Minimises over one unknown; `curvature` is about 1, or 0 for a zero column.
fn minimiser<T: Real>(x: T, gradient: T, curvature: T, (low, high): (T, T)) -> T {
    if curvature > T::zero() {
        return (x - gradient).max(low).min(high);
    }
    // Nothing but a linear term: to the bound, where there is one.
    let end = if gradient > T::zero() { low } else { high };
    if gradient != T::zero() && end.is_finite() { end } else { x }
}

/// x moved into the bounds, by comparisons that run in vector registers.
#[inline(always)]
fn clip<T: Real>(x: T, low: T, high: T) -> T {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

#[inline(always)]
fn is_bound<T: Real>(x: T, (low, high): (T, T)) -> bool {
    x == low || x == high
}

/// Newton steps for one right side after the other, in the units of the scaled G.
struct Newton<'p, T> {
    problem: &'p BoundedLeastSquares<T>,
    gradient: Vec<T>,
    free: Vec<usize>,
    step: Vec<T>,
    /// Factor of the rows and columns `factored` of G, at the beginning of this buffer.
    factor: Vec<T>,
    factored: Vec<usize>,
}

impl<'p, T: Real> Newton<'p, T> {
    fn new(problem: &'p BoundedLeastSquares<T>) -> Self {
        let (gradient, factor) = (Vec::new(), Vec::new());
        Self { problem, gradient, free: Vec::new(), step: Vec::new(), factor, factored: Vec::new() }
    }

    fn solve(&mut self, x: &mut [T], c: &[T], stopping: Stopping<'_>) -> Report {
        // The iterations before have nothing to say about zero columns.
        for (i, x) in x.iter_mut().enumerate().filter(|&(i, _)| self.problem.gram[[i, i]] == T::zero()) {
            let bounds = (self.problem.scaled.lower[i], self.problem.scaled.upper[i]);
            *x = minimiser(T::zero().max(bounds.0).min(bounds.1), -c[i], T::zero(), bounds);
        }
        let start = x.to_vec();
        let (mut n_iter, done) = self.pivot(x, c, stopping);
        if !done {
            x.copy_from_slice(&start);
            n_iter = self.descend(x, c, n_iter, stopping);
        }
        let residual = self.residual(x, c);
        Report { n_iter, residual, converged: residual <= stopping.tol }
    }

    /// Block principal pivoting: solves for the free unknowns as if there were no bounds, then
    /// holds all that left theirs and frees all that their gradient pulls inside. Gives up after
    /// [`PATIENCE`] exchanges in which the number of violations was no new minimum. Returns the number of
    /// exchanges and whether none was left to make.
    fn pivot(&mut self, x: &mut [T], c: &[T], stopping: Stopping<'_>) -> (usize, bool) {
        let problem = self.problem;
        let Bounds { lower, upper } = &problem.scaled;
        let mut free: Vec<bool> = (0..x.len())
            .map(|i| problem.gram[[i, i]] > T::zero() && !is_bound(x[i], (lower[i], upper[i])))
            .collect();
        let (mut fewest, mut patience) = (usize::MAX, PATIENCE);
        self.evaluate(x, c);
        for n_iter in 1..=stopping.max_iter {
            self.free.clear();
            self.free.extend((0..x.len()).filter(|&i| free[i]));
            self.solve_free();
            for (&i, &step) in self.free.iter().zip(&self.step) {
                x[i] += step;
            }
            self.evaluate(x, c);
            // What rounding does to an unknown, in units in which the columns have norm 1.
            let largest = x.iter().chain(c).fold(T::zero(), |top, v| top.max(v.abs()));
            let slack = T::of(16.0) * T::epsilon() * largest;
            let (mut violations, mut left) = (0, Vec::new());
            for i in 0..x.len() {
                let (low, high, g) = (lower[i], upper[i], self.gradient[i]);
                let wrong = if free[i] {
                    let end = x[i].max(low).min(high);
                    let outside = (x[i] - end).abs() > slack;
                    left.extend(outside.then_some((i, end)));
                    outside
                } else {
                    let movable = low < high && problem.gram[[i, i]] > T::zero();
                    movable && if x[i] <= low { g < -slack } else { g > slack }
                };
                free[i] ^= wrong;
                violations += usize::from(wrong);
            }
            for (i, end) in left {
                self.shift(x, i, end);
            }
            if violations == 0 {
                for (i, x) in x.iter_mut().enumerate() {
                    *x = x.max(lower[i]).min(upper[i]);
                }
                return (n_iter, true);
            }
            patience = if violations < fewest { PATIENCE } else { patience - 1 };
            fewest = fewest.min(violations);
            if patience == 0 || (stopping.interrupted)() {
                return (n_iter, false);
            }
        }
        (stopping.max_iter, false)
    }

    /// Newton steps on the free unknowns along the projection of their arc (Bertsekas 1982),
    /// which lower the objective, with sweeps between them. Ends at the tolerance, and where the
    /// last step was exact and only rounding is left.
    fn descend(&mut self, x: &mut [T], c: &[T], mut n_iter: usize, stopping: Stopping<'_>) -> usize {
        let mut value = self.evaluate(x, c);
        let mut exact = false;
        loop {
            let done = self.residual(x, c) <= stopping.tol;
            self.find_free(x);
            let rounding = self.free.is_empty() || (exact && self.free == self.factored);
            if done || rounding || n_iter >= stopping.max_iter || (stopping.interrupted)() {
                return n_iter;
            }
            n_iter += 1;
            (value, exact) = self.step(x, c, value);
            if !exact {
                self.sweep(x);
                value = self.evaluate(x, c);
            }
        }
    }

    /// Moves one unknown, and the gradient with it.
    fn shift(&mut self, x: &mut [T], i: usize, target: T) {
        if let Some(row) = self.problem.gram.row(i).as_slice() {
            axpy(target - x[i], row, &mut self.gradient);
        }
        x[i] = target;
    }

    /// Gradient G x − c, kept; returns ½ xᵀG x − cᵀx.
    fn evaluate(&mut self, x: &[T], c: &[T]) -> T {
        self.gradient.clear();
        self.gradient.extend(c.iter().map(|&c| -c));
        for (&x, row) in x.iter().zip(self.problem.gram.rows()) {
            if let (true, Some(row)) = (x != T::zero(), row.as_slice()) {
                axpy(x, row, &mut self.gradient);
            }
        }
        T::of(0.5) * (dot(x, &self.gradient) - dot(x, c))
    }

    /// The unknowns that are not held at a bound by their gradient.
    fn find_free(&mut self, x: &[T]) {
        let Bounds { lower, upper } = &self.problem.scaled;
        let (gram, gradient) = (&self.problem.gram, &self.gradient);
        self.free.clear();
        self.free.extend((0..x.len()).filter(|&i| {
            let (x, g) = (x[i], gradient[i]);
            gram[[i, i]] > T::zero()
                && (x > lower[i] || g < T::zero())
                && (x < upper[i] || g > T::zero())
                && lower[i] < upper[i]
        }));
    }

    fn residual(&self, x: &[T], c: &[T]) -> f64 {
        let Bounds { lower, upper } = &self.problem.scaled;
        let mut sums = [0.0; 3];
        for (i, (&x, &c)) in x.iter().zip(c).enumerate() {
            let mut p = self.gradient[i];
            if x <= lower[i] {
                p = p.min(T::zero());
            }
            if x >= upper[i] {
                p = p.max(T::zero());
            }
            for (sum, v) in sums.iter_mut().zip([p, c, x]) {
                *sum += v.f64() * v.f64();
            }
        }
        let [p, c, x] = sums.map(f64::sqrt);
        if p == 0.0 { 0.0 } else { p / (c + x) }
    }

    /// A Newton step along its projected arc, halved until the objective falls. Returns the new
    /// objective and whether no bound interfered.
    fn step(&mut self, x: &mut [T], c: &[T], value: T) -> (T, bool) {
        self.solve_free();
        let before: Vec<T> = self.free.iter().map(|&i| x[i]).collect();
        let slack = T::of(8.0) * T::epsilon() * (value.abs() + dot(x, c).abs());
        let mut t = T::one();
        while t > T::epsilon() {
            let inside = self.advance(x, &before, t);
            let after = self.evaluate(x, c);
            if after <= value + slack {
                return (after, inside && t == T::one());
            }
            t *= T::of(0.5);
        }
        self.advance(x, &before, T::zero());
        (self.evaluate(x, c), false)
    }

    /// The step to the minimum over the free unknowns, without bounds.
    fn solve_free(&mut self) {
        self.factor();
        let k = self.free.len();
        self.step.clear();
        self.step.extend(self.free.iter().map(|&i| -self.gradient[i]));
        solve_upper_vector(&self.factor[..k * k], &mut self.step);
    }

    /// Factors the free rows and columns of G, unless they are those of the last time.
    fn factor(&mut self) {
        if self.free == self.factored {
            return;
        }
        let k = self.free.len();
        if self.factor.len() < k * k {
            self.factor.resize(k * k, T::zero());
        }
        for (a, &i) in self.free.iter().enumerate() {
            let row = self.problem.gram.row(i);
            for (b, &j) in self.free.iter().enumerate().skip(a) {
                self.factor[a * k + b] = row[j];
            }
        }
        // Rounding of a Gram matrix: pivots below it belong to dependent columns.
        let tolerance = T::of(4.0 * (self.problem.bounds.len() as f64).sqrt()) * T::epsilon();
        factor_upper(&mut self.factor[..k * k], k, tolerance, Threads::One);
        self.factored.clone_from(&self.free);
    }

    /// x ← `before` + t step on the free unknowns, moved into the bounds; tells whether it was
    /// inside.
    fn advance(&self, x: &mut [T], before: &[T], t: T) -> bool {
        let Bounds { lower, upper } = &self.problem.scaled;
        let mut inside = true;
        for ((&i, &before), &step) in self.free.iter().zip(before).zip(&self.step) {
            let target = before + t * step;
            x[i] = target.max(lower[i]).min(upper[i]);
            inside &= x[i] == target;
        }
        inside
    }

    /// One sweep of coordinate descent, which frees and holds unknowns one at a time.
    fn sweep(&mut self, x: &mut [T]) {
        let problem = self.problem;
        let Bounds { lower, upper } = &problem.scaled;
        for (i, row) in problem.gram.rows().into_iter().enumerate() {
            let target = minimiser(x[i], self.gradient[i], row[i], (lower[i], upper[i]));
            if target != x[i] {
                self.shift(x, i, target);
            }
        }
    }
}
