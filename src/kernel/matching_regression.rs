//! Regression through an activation, with its matching loss.
//!
//! ```text
//! min over W, b:  mean_i [ f*(Wᵀx_i + b) − ⟨y_i, Wᵀx_i + b⟩ ] + (α/2)‖W‖²,    the mean weighted by s
//! ```
//!
//! Up to a constant the mean of the divergences D(y_i, Wᵀx_i + b) = f(y_i) + f*(z_i) − ⟨y_i, z_i⟩ (Auer,
//! Herbster, Warmuth 1996 call it the matching loss): convex for every activation, with the
//! gradient φ(z) − y, and at most sup φ′ curved. It is the weight block of the lifted problem.

use super::smooth_regression::{Affine, LogitLoss, SmoothRegression};
use super::{Report, Stopping};
use crate::activation::{Activation, ActivationKind};
use crate::error::{Error, Result};
use crate::real::Real;
use ndarray::{Array1, Array2, ArrayView2};

/// Fits φ(Wᵀx + b) to targets; uses the current thread pool.
///
/// * `y`: `(n_samples, n_outputs)`, every row in the domain of f.
///
/// The residual is that of [`SmoothRegression::solve`].
///
/// # Errors
/// [`Error::Shape`]; [`Error::Parameter`] named `activation` where φ jumps, so that f* is not smooth,
/// and named `Y` for targets outside the domain, for which there is no minimum.
pub fn matching_regression<T: Real>(
    problem: &SmoothRegression<'_, T>,
    y: ArrayView2<'_, T>,
    activation: ActivationKind,
    stopping: Stopping<'_>,
) -> Result<(Affine<T>, Report)> {
    let phi = activation.make::<T>();
    if !phi.slope_bound().is_finite() {
        return Err(Error::Parameter {
            name: "activation",
            got: format!("'{activation}'"),
            allowed: format!("continuous; '{}' is the nearest choice", activation.lifted()).into(),
        });
    }
    problem.check_rows("Y", y.shape())?;
    let y = y.as_standard_layout();
    for (row, values) in y.rows().into_iter().enumerate() {
        if !values.as_slice().is_some_and(|values| phi.potential(values).is_finite()) {
            return Err(Error::Parameter {
                name: "Y",
                got: format!("{values} in row {row}"),
                allowed: format!("in the domain of activation '{activation}'").into(),
            });
        }
    }
    let start = Affine {
        coef: Array2::zeros((problem.n_features(), y.ncols())),
        intercept: Array1::zeros(y.ncols()),
    };
    let loss = MatchingLoss { phi: phi.as_ref(), y: y.view(), zeros: vec![T::zero(); y.ncols()] };
    problem.solve(&loss, start, stopping)
}

struct MatchingLoss<'a, T> {
    phi: &'a dyn Activation<T>,
    y: ArrayView2<'a, T>,
    zeros: Vec<T>,
}

impl<T: Real> LogitLoss<T> for MatchingLoss<'_, T> {
    fn value_and_gradient(&self, row: usize, logits: &mut [T]) -> f64 {
        let y = self.y.row(row);
        let product: f64 = logits.iter().zip(y).map(|(z, y)| z.f64() * y.f64()).sum();
        let value = self.phi.conjugate(logits) - product;
        // φ in place.
        self.phi.apply_moved(&self.zeros, -T::one(), logits);
        for (g, &y) in logits.iter_mut().zip(y) {
            *g -= y;
        }
        value
    }

    fn curvature_bound(&self) -> f64 {
        self.phi.slope_bound().f64()
    }
}
