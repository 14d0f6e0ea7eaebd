//! Penalties on the weights of one layer, and the sets that weights may be held in: value and prox.
//!
//! ```text
//! prox_{step·P}(W) = argmin_V ½‖V − W‖² + step·P(V)
//! ```
//!
//! | name | P(W) | convex |
//! |---|---|---|
//! | `l1(strength)` | strength·Σ\|w\| | yes |
//! | `elastic_net(strength, l1_ratio)` | strength·[ratio·Σ\|w\| + (1 − ratio)/2·Σw²] | yes |
//! | `nonnegative`, `box(lower, upper)` | 0 within the bounds | yes |
//! | `nuclear(strength)` | strength·(sum of the singular values) | yes |
//! | `rank(limit)` | 0 up to that rank | no |
//! | `sparse(share)` | 0 where that share of the weights, or more, is 0 | no |
//!
//! P sees the weights alone, never the intercepts. One file per penalty. To add one: implement
//! [`Penalty`], add it to [`PenaltyKind`]; the property tests in `tests/rust/penalty.rs` then want a row.
//! The value of the ridge, the only smooth penalty, belongs to the weight block itself.

mod bounds;
mod elastic_net;
mod kind;
mod nuclear;
mod rank;
mod sparse;

use crate::error::Result;
use crate::real::Real;
use ndarray::{ArrayView2, ArrayViewMut2};

pub use bounds::Bounds;
pub use elastic_net::ElasticNet;
pub use kind::PenaltyKind;
pub use nuclear::Nuclear;
pub use rank::RankLimit;
pub use sparse::Sparse;

/// A penalty on a matrix of weights, `(n_inputs, n_units)`, with its proximal map.
pub trait Penalty<T: Real>: Send + Sync + std::fmt::Debug {
    /// P(W); +∞ outside a set.
    ///
    /// # Errors
    /// [`crate::error::Error::Factorisation`] when LAPACK fails.
    fn value(&self, weights: ArrayView2<'_, T>) -> Result<f64>;

    /// W ← argmin_V ½‖V − W‖² + step·P(V), step > 0; returns P there.
    ///
    /// Weights that are not finite stay so.
    ///
    /// # Errors
    /// [`crate::error::Error::Factorisation`] when LAPACK fails.
    fn prox(&mut self, step: f64, weights: ArrayViewMut2<'_, T>) -> Result<f64>;

    /// For a set made of convex pieces: chooses the one nearest to these weights, to which
    /// [`Penalty::prox_again`] then keeps. False where there is no such choice.
    fn choose(&mut self, _weights: ArrayView2<'_, T>) -> bool {
        false
    }

    /// [`Penalty::prox`] within the convex piece that the last call of `prox` or `choose` chose, for
    /// several steps on one problem.
    ///
    /// # Errors
    /// As [`Penalty::prox`].
    fn prox_again(&mut self, step: f64, weights: ArrayViewMut2<'_, T>) -> Result<f64> {
        self.prox(step, weights)
    }

    /// Sets how much of the way to the final set is done, from 0 to 1, where going there at once
    /// would settle on poor weights; 1 for a new object.
    fn tighten(&mut self, _progress: f64) {}

    /// Whether P is a sum over the single weights or counts them.
    fn is_elementwise(&self) -> bool;

    /// Whether P is convex.
    fn is_convex(&self) -> bool;

    /// Whether P is 0 on a set and +∞ elsewhere.
    fn is_constraint(&self) -> bool;
}

/// What is still allowed beyond the final amount, as a share: falls from 1 to 0 by a cubic law, fast
/// at first, as in Zhu, Gupta 2017, *To prune, or not to prune*, arXiv:1710.01878.
fn slack(progress: f64) -> f64 {
    (1.0 - progress.clamp(0.0, 1.0)).powi(3)
}
