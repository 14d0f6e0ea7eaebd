//! The convex sub-problems, one per file: matrices in, matrix out, no layers.

pub mod activation_block;
pub mod activation_parameter;
pub mod best_constant;
pub mod bounded_least_squares;
pub mod class_regression;
pub mod matching_regression;
pub mod proximal_weight_block;
pub mod ridge;
pub mod smooth_regression;
pub mod weight_block;

use crate::error::{Error, Result};
use crate::real::Real;
use ndarray::{Array2, ArrayView1};

/// How an iterative kernel ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Report {
    /// Iterations, the most over independent sub-problems.
    pub n_iter: usize,
    /// Violation of the optimality conditions relative to the data, the worst over independent
    /// sub-problems; each kernel says of what.
    pub residual: f64,
    /// Whether the residual is at most the tolerance.
    pub converged: bool,
}

impl Report {
    /// Nothing to do.
    pub const DONE: Self = Self { n_iter: 0, residual: 0.0, converged: true };

    /// Two independent sub-problems as one.
    pub fn and(self, other: Self) -> Self {
        Self {
            n_iter: self.n_iter.max(other.n_iter),
            // f64::max would lose NaN.
            residual: if self.residual >= other.residual { self.residual } else { other.residual },
            converged: self.converged && other.converged,
        }
    }
}

/// When an iterative kernel ends.
#[derive(Clone, Copy)]
pub struct Stopping<'a> {
    /// Relative residual to reach.
    pub tol: f64,
    /// Iterations to make at most.
    pub max_iter: usize,
    /// Asked now and then from any thread: stop now?
    pub interrupted: &'a (dyn Fn() -> bool + Sync),
}

impl Stopping<'_> {
    /// For callers who never interrupt.
    pub fn new(tol: f64, max_iter: usize) -> Self {
        Self { tol, max_iter, interrupted: &|| false }
    }
}

impl std::fmt::Debug for Stopping<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stopping").field("tol", &self.tol).field("max_iter", &self.max_iter).finish()
    }
}

fn check_vector<T: Real>(name: &'static str, vector: ArrayView1<'_, T>, len: usize) -> Result<()> {
    if vector.len() != len {
        let (got, expected) = (vec![vector.len()], format!("({len},)"));
        return Err(Error::Shape { argument: name.into(), got, expected });
    }
    match vector.iter().enumerate().find(|(_, v)| !(v.is_finite() && **v >= T::zero())) {
        Some((i, v)) => Err(Error::Parameter {
            name,
            got: format!("{v} at index {i}"),
            allowed: "finite and not negative".into(),
        }),
        None => Ok(()),
    }
}

fn check_weights<T: Real>(weights: ArrayView1<'_, T>, n_samples: usize) -> Result<()> {
    const NAME: &str = "sample_weight";
    check_vector(NAME, weights, n_samples)?;
    match weights.iter().all(|&w| w == T::zero()) {
        true => Err(Error::Parameter {
            name: NAME,
            got: "zeros only".into(),
            allowed: "positive for some sample".into(),
        }),
        false => Ok(()),
    }
}

fn swap_rows<T: Copy>(a: &mut Array2<T>, i: usize, j: usize) {
    for k in 0..a.ncols() {
        a.swap([i, k], [j, k]);
    }
}
