//! Which bounds are active: a guess for all right sides at a time, in single precision.
//!
//! ```text
//! w ← w + α (x − z),   z = w moved into the bounds,   (G + ρI) x = c + ρ (2 z − w)
//! ```
//!
//! is Douglas–Rachford splitting, over-relaxed: the alternating direction method of multipliers
//! (Boyd et al. 2011) with its z and its scaled multipliers w − z in one variable. An iteration is
//! one product of matrices. At a fixed point z is the solution and w − z says which bounds hold it,
//! so the rest need not be precise: what is left of errors, exchanges of the exact solver repair.

use super::{Bounds, Problem, Tile, clip, is_bound};
use crate::error::Result;
use crate::linalg::{Threads, damped_inverse, product};
use crate::real::Real;
use ndarray::{Array1, Array2, Zip};

/// Over-relaxation α.
const RELAXATION: f64 = 1.7;
/// Couplings ρ to try, best guess first. With unit diagonal the mean eigenvalue is 1; on Gaussian and
/// uniform matrices, square or tall, the first settles within twelve iterations. Solutions that are
/// large beside their multipliers, c having a large share of one direction, want the others.
pub(super) const COUPLINGS: [f64; 3] = [0.5, 0.2, 0.08];
/// Iterations at most; one takes about a fiftieth of an exchange.
const ITERATIONS: usize = 48;
/// Iterations between two looks at the active bounds.
const PERIOD: usize = 4;
/// Changes of the active bounds for each right side over a period that are not worth another.
const SETTLED: f64 = 0.15;
/// Iterations after which the objectives tell couplings apart.
const TRIAL: usize = 12;
/// Largest start in units of the largest linear term: room for squares in single precision.
const LARGEST: f64 = 1e15;

/// The iterations' matrix for one coupling.
#[derive(Debug, Clone)]
pub(super) struct Splitting {
    coupling: f32,
    /// αρ (G + ρI)⁻¹, `(n_unknowns, n_unknowns)`.
    operator: Array2<f32>,
}

impl Splitting {
    /// # Errors
    /// [`crate::error::Error::Factorisation`] where G + ρI is not positive definite.
    pub(super) fn new<T: Real>(gram: &Array2<T>, coupling: f64) -> Result<Self> {
        let damping = vec![T::of(coupling); gram.nrows()];
        let inverse = damped_inverse(gram.view(), &damping, Threads::All)?;
        let operator = inverse.mapv(|v| (RELAXATION * coupling * v.f64()) as f32);
        Ok(Self { coupling: coupling as f32, operator })
    }

    /// Moves the points of the tile, all between the bounds, near the solutions; those that are held
    /// are exactly on their bounds.
    pub(super) fn guess<T: Real>(
        &self,
        problem: &Problem<T>,
        tile: &mut Tile<T>,
        interrupted: &(dyn Fn() -> bool + Sync),
    ) {
        self.iterate(problem, tile, ITERATIONS, interrupted);
    }

    /// Moves the points of the tile by a few iterations.
    pub(super) fn try_out<T: Real>(&self, problem: &Problem<T>, tile: &mut Tile<T>) {
        self.iterate(problem, tile, TRIAL, &|| false);
    }

    fn iterate<T: Real>(
        &self,
        problem: &Problem<T>,
        tile: &mut Tile<T>,
        iterations: usize,
        interrupted: &(dyn Fn() -> bool + Sync),
    ) {
        // The largest linear term is 1, so that single precision has room.
        let largest = tile.c.iter().fold(0.0, |top: f64, c| top.max(c.f64().abs()));
        let unit = if largest.recip().is_finite() { largest.recip() } else { 1.0 };
        let [lower, upper] = [&problem.bounds.lower, &problem.bounds.upper]
            .map(|bound| bound.mapv(|v| (v.f64() * unit) as f32));
        let mut w = self.start(problem, tile, unit);
        // Of w + α(x − z), the part that stays.
        let mut steady = tile.c.mapv(|c| (c.f64() * unit) as f32);
        let mut reflected = Array2::zeros(w.raw_dim());
        let linear = steady.clone();
        product(
            self.coupling.recip(),
            linear.view(),
            self.operator.view(),
            0.0,
            steady.view_mut(),
            Threads::One,
        );
        let mut sides = vec![false; w.len()];
        for iteration in 1..=iterations {
            for ((mut w, q), mut r) in w.rows_mut().into_iter().zip(steady.rows()).zip(reflected.rows_mut()) {
                Zip::from(&mut w).and(q).and(&mut r).and(&lower).and(&upper).for_each(
                    |w, &q, r, &low, &high| {
                        let z = clip(*w, low, high);
                        *r = z + (z - *w);
                        *w += q - RELAXATION as f32 * z;
                    },
                );
            }
            product(1.0, reflected.view(), self.operator.view(), 1.0, w.view_mut(), Threads::One);
            if iteration % PERIOD == 0 {
                let changes = note_sides(&w, (&lower, &upper), &mut sides);
                if (changes as f64) < SETTLED * w.nrows() as f64 || interrupted() {
                    break;
                }
            }
        }
        let Bounds { lower: lows, upper: highs } = &problem.bounds;
        for (mut x, w) in tile.x.rows_mut().into_iter().zip(w.rows()) {
            for (i, (x, &w)) in x.iter_mut().zip(w).enumerate() {
                *x = if w >= upper[i] {
                    highs[i]
                } else if w <= lower[i] {
                    lows[i]
                } else {
                    // A matrix that is not semidefinite may have sent it anywhere.
                    let value = if w.is_finite() { f64::from(w) / unit } else { 0.0 };
                    clip(T::of(value), lows[i], highs[i])
                };
            }
        }
    }

    /// w = z + u for the points z of the tile and their multipliers.
    fn start<T: Real>(&self, problem: &Problem<T>, tile: &Tile<T>, unit: f64) -> Array2<f32> {
        let Bounds { lower, upper } = &problem.bounds;
        let mut pull = tile.c.clone();
        if tile.x.iter().any(|&z| z != T::zero()) {
            product(-T::one(), tile.x.view(), problem.gram.view(), T::one(), pull.view_mut(), Threads::One);
        }
        let mut w = Array2::zeros(pull.raw_dim());
        for ((mut w, z), pull) in w.rows_mut().into_iter().zip(tile.x.rows()).zip(pull.rows()) {
            Zip::from(&mut w).and(z).and(pull).and(lower).and(upper).for_each(
                |w: &mut f32, &z, &pull, &low, &high| {
                    let held = match (z <= low, z >= high) {
                        (true, true) => pull,
                        (true, false) => pull.min(T::zero()),
                        (false, true) => pull.max(T::zero()),
                        (false, false) => T::zero(),
                    };
                    let start = unit * (z.f64() + held.f64() / f64::from(self.coupling));
                    *w = start.clamp(-LARGEST, LARGEST) as f32;
                },
            );
        }
        w
    }
}

/// Notes which unknowns are held and returns how many of them changed that.
fn note_sides(w: &Array2<f32>, (lower, upper): (&Array1<f32>, &Array1<f32>), sides: &mut [bool]) -> usize {
    let mut changes = 0;
    for (w, sides) in w.rows().into_iter().zip(sides.chunks_exact_mut(lower.len())) {
        for (((&w, side), &low), &high) in w.iter().zip(sides).zip(lower).zip(upper) {
            let held = is_bound(clip(w, low, high), (low, high));
            changes += usize::from(held != *side);
            *side = held;
        }
    }
    changes
}
