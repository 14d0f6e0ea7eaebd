//! Least squares between bounds, for many right sides that share their matrix.
//!
//! ```text
//! min over x:  ½‖A x − b‖²  =  ½ xᵀG x − cᵀx + const,   lower ≤ x ≤ upper,   G = AᵀA,  c = Aᵀb
//! ```
//!
//! for each of many b. Non-negative least squares has bounds 0 and ∞; "euclidean" activation
//! blocks of piecewise-linear activations are of this form too.
//!
//! ```text
//! splitting  guesses the active bounds of a tile of right sides: a few products of matrices
//! pivoting   solves exactly for the free unknowns and exchanges those that are wrong, mostly none
//! newton     descends instead where exchanges cycle, which is rare
//! ```
//!
//! G is scaled to unit diagonal first, so the units of the unknowns do not matter.

mod free_system;
mod newton;
mod pivoting;
mod splitting;
#[cfg(test)]
mod tests;

use super::{Report, Stopping};
use crate::error::{Error, Result};
use crate::linalg::{Threads, add_upper_gram, mirror, product};
use crate::real::Real;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut1, ArrayViewMut2, Axis, Zip, s};
use pivoting::Pivoting;
use rayon::prelude::*;
use splitting::{COUPLINGS, Splitting};

/// Right sides that are solved together on one thread.
const TILE: usize = 64;
/// Right sides that the coupling is tried out on, where there are as many.
const SAMPLE: usize = 32;

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

    /// Minimises over unknown `i` from `x`; `curvature` is about 1, or 0 for a zero column.
    fn minimiser(&self, i: usize, x: T, gradient: T, curvature: T) -> T {
        let (low, high) = (self.lower[i], self.upper[i]);
        if curvature > T::zero() {
            return (x - gradient).max(low).min(high);
        }
        // Nothing but a linear term: to the bound, where there is one.
        let end = if gradient > T::zero() { low } else { high };
        if gradient != T::zero() && end.is_finite() { end } else { x }
    }
}

/// The prepared problem: G scaled, bounds checked; [`BoundedLeastSquares::solve`] any number of
/// right sides.
#[derive(Debug)]
pub struct BoundedLeastSquares<T> {
    problem: Problem<T>,
    splitting: Splitting,
    /// Diagonal of S: 1/√G_ii, or 1 where G_ii = 0.
    scale: Array1<T>,
    bounds: Bounds<T>,
}

/// What all right sides share, in the units of S⁻¹x.
#[derive(Debug)]
struct Problem<T> {
    /// SGS with unit diagonal, or zero rows.
    gram: Array2<T>,
    bounds: Bounds<T>,
}

/// Right sides and their points, in the units of S⁻¹x; both `(n_problems, n_unknowns)`.
#[derive(Debug, Clone)]
struct Tile<T> {
    c: Array2<T>,
    x: Array2<T>,
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
        let splitting = Splitting::new(&gram, COUPLINGS[0])?;
        Ok(Self { problem: Problem { gram, bounds: scaled }, splitting, scale, bounds })
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
    /// [`Error::Shape`], [`Error::Factorisation`] for a G that is indefinite.
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
        let other = self.choose_splitting(rhs, solution.view())?;
        let splitting = other.as_ref().unwrap_or(&self.splitting);
        Ok(solution
            .axis_chunks_iter_mut(Axis(0), TILE)
            .into_par_iter()
            .zip(rhs.axis_chunks_iter(Axis(0), TILE))
            .with_max_len(1)
            .map(|(solution, rhs)| self.solve_tile(splitting, rhs, solution, stopping))
            .reduce(|| Report::DONE, Report::and))
    }

    /// Tries couplings out on some of the right sides. `None` where ours is best, and for few right
    /// sides, which save less than another inverse takes.
    fn choose_splitting(
        &self,
        rhs: ArrayView2<'_, T>,
        solution: ArrayView2<'_, T>,
    ) -> Result<Option<Splitting>> {
        if rhs.nrows() < SAMPLE {
            return Ok(None);
        }
        let step = rhs.nrows() / SAMPLE;
        let some = s![..step * SAMPLE;step, ..];
        let start = self.tile(rhs.slice(some), solution.slice(some));
        let try_out = |splitting: &Splitting| {
            let mut tile = start.clone();
            splitting.try_out(&self.problem, &mut tile);
            self.problem.objectives(&tile)
        };
        let (mut best, mut least) = (None, try_out(&self.splitting));
        for &coupling in &COUPLINGS[1..] {
            let splitting = Splitting::new(&self.problem.gram, coupling)?;
            let objectives = try_out(&splitting);
            let lower = least.iter().zip(&objectives).filter(|(old, new)| new < old).count();
            if 2 * lower <= SAMPLE {
                break;
            }
            (best, least) = (Some(splitting), objectives);
        }
        Ok(best)
    }

    fn solve_tile(
        &self,
        splitting: &Splitting,
        rhs: ArrayView2<'_, T>,
        mut solution: ArrayViewMut2<'_, T>,
        stopping: Stopping<'_>,
    ) -> Report {
        if (stopping.interrupted)() {
            return Report { n_iter: 0, residual: f64::INFINITY, converged: false };
        }
        let mut tile = self.tile(rhs, solution.view());
        splitting.guess(&self.problem, &mut tile, stopping.interrupted);
        self.problem.solve_linear(&mut tile);
        Pivoting::new(&self.problem, tile).solve(stopping, |row, x| self.unscale(x, solution.row_mut(row)))
    }

    /// Right sides and starting points in our units, row after row whatever the caller's layout.
    fn tile(&self, rhs: ArrayView2<'_, T>, start: ArrayView2<'_, T>) -> Tile<T> {
        let Bounds { lower, upper } = &self.problem.bounds;
        let (mut c, mut x) = (Array2::zeros(rhs.raw_dim()), Array2::zeros(rhs.raw_dim()));
        c.assign(&rhs);
        c *= &self.scale;
        for (mut x, start) in x.rows_mut().into_iter().zip(start.rows()) {
            Zip::from(&mut x)
                .and(start)
                .and(&self.scale)
                .and(lower)
                .and(upper)
                .for_each(|x, &start, &scale, &low, &high| *x = clip(start / scale, low, high));
        }
        Tile { c, x }
    }

    /// Writes the solution in the caller's units, exactly on its active bounds.
    fn unscale(&self, x: ArrayView1<'_, T>, mut target: ArrayViewMut1<'_, T>) {
        for (i, (target, &x)) in target.iter_mut().zip(x).enumerate() {
            let (low, high) = (self.bounds.lower[i], self.bounds.upper[i]);
            *target = if x <= self.problem.bounds.lower[i] {
                low
            } else if x >= self.problem.bounds.upper[i] {
                high
            } else {
                (x * self.scale[i]).max(low).min(high)
            };
        }
    }
}

impl<T: Real> Problem<T> {
    /// Whether the objective has a curvature along unknown `i`; if not, its column is zero.
    fn is_curved(&self, i: usize) -> bool {
        self.gram[[i, i]] > T::zero()
    }

    /// Solves for the unknowns whose columns are zero.
    fn solve_linear(&self, tile: &mut Tile<T>) {
        let Bounds { lower, upper } = &self.bounds;
        for i in (0..lower.len()).filter(|&i| !self.is_curved(i)) {
            for (x, &c) in tile.x.column_mut(i).iter_mut().zip(tile.c.column(i)) {
                let nearest = clip(T::zero(), lower[i], upper[i]);
                *x = self.bounds.minimiser(i, nearest, -c, T::zero());
            }
        }
    }

    /// ½ xᵀG x − cᵀx of each right side.
    fn objectives(&self, Tile { c, x }: &Tile<T>) -> Vec<f64> {
        let mut pull = c.clone();
        product(T::of(0.5), x.view(), self.gram.view(), -T::one(), pull.view_mut(), Threads::One);
        pull.rows().into_iter().zip(x.rows()).map(|(pull, x)| pull.dot(&x).f64()).collect()
    }

    /// ‖p‖ / (‖c‖ + ‖x‖), p the gradient without the entries that push against an active bound.
    fn residual(&self, x: ArrayView1<'_, T>, c: ArrayView1<'_, T>, gradient: ArrayView1<'_, T>) -> f64 {
        let Bounds { lower, upper } = &self.bounds;
        let mut sums = [0.0; 3];
        for (i, (&x, &c)) in x.iter().zip(c).enumerate() {
            let mut p = gradient[i];
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

/// x moved into the bounds, by comparisons that run in vector registers.
#[inline(always)]
fn clip<T: PartialOrd>(x: T, low: T, high: T) -> T {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

#[inline(always)]
fn is_bound<T: PartialEq>(x: T, (low, high): (T, T)) -> bool {
    x == low || x == high
}
