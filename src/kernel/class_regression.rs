//! Logistic and softmax regression.
//!
//! ```text
//! min over W, b:  mean_i ℓ(y_i, Wᵀx_i + b) + (α/2)‖W‖²,      the mean weighted by s
//! ```
//!
//! with the cross-entropy of class indices y: the output block of the lifted problem. Curvature
//! bounds are ¼ for one logit and ½ for the softmax (Böhning 1992). scikit-learn's C is 1/(α Σ s).

use super::smooth_regression::{Affine, LogitLoss, SmoothRegression};
use super::{Report, Stopping};
use crate::error::{Error, Result};
use crate::loss::{Loss, LossKind, Targets};
use crate::real::Real;
use ndarray::{Array1, Array2};

/// Fits class probabilities; uses the current thread pool.
///
/// One logit for two classes, whose logistic function is the probability of class 1.
///
/// * `y`: `(n_samples,)`, below 2.
///
/// The residual is that of [`SmoothRegression::solve`].
///
/// # Errors
/// [`Error::Shape`], [`Error::Labels`].
pub fn logistic_regression<T: Real>(
    problem: &SmoothRegression<'_, T>,
    y: &[u32],
    stopping: Stopping<'_>,
) -> Result<(Affine<T>, Report)> {
    fit(problem, y, 2, 1, LossKind::LOGISTIC, stopping)
}

/// Fits class probabilities; uses the current thread pool.
///
/// One logit for each class. Adding the same number to all of a sample changes nothing: of the
/// solutions the one is found whose rows, and intercepts, have sum 0.
///
/// * `y`: `(n_samples,)`, below `n_classes` ≥ 2.
///
/// The residual is that of [`SmoothRegression::solve`].
///
/// # Errors
/// [`Error::Shape`], [`Error::Labels`], [`Error::Parameter`] for fewer than 2 classes.
pub fn softmax_regression<T: Real>(
    problem: &SmoothRegression<'_, T>,
    y: &[u32],
    n_classes: usize,
    stopping: Stopping<'_>,
) -> Result<(Affine<T>, Report)> {
    if n_classes < 2 {
        let (name, got) = ("n_classes", n_classes.to_string());
        return Err(Error::Parameter { name, got, allowed: "at least 2".into() });
    }
    fit(problem, y, n_classes, n_classes, LossKind::SOFTMAX, stopping)
}

fn fit<T: Real>(
    problem: &SmoothRegression<'_, T>,
    y: &[u32],
    classes: usize,
    logits: usize,
    kind: LossKind,
    stopping: Stopping<'_>,
) -> Result<(Affine<T>, Report)> {
    problem.check_rows("y", &[y.len()])?;
    if let Some(row) = y.iter().position(|&class| class as usize >= classes) {
        return Err(Error::Labels { row, got: y[row] as usize, classes });
    }
    let loss = ClassLoss { loss: kind.make::<T>(), targets: Targets::Classes(y) };
    let start =
        Affine { coef: Array2::zeros((problem.n_features(), logits)), intercept: Array1::zeros(logits) };
    problem.solve(&loss, start, stopping)
}

struct ClassLoss<'a, T> {
    loss: Box<dyn Loss<T>>,
    targets: Targets<'a, T>,
}

impl<T: Real> LogitLoss<T> for ClassLoss<'_, T> {
    fn value_and_gradient(&self, row: usize, logits: &mut [T]) -> f64 {
        self.loss.value_and_gradient(&self.targets, row, logits).f64()
    }

    fn curvature_bound(&self) -> f64 {
        self.loss.curvature_bound().f64()
    }
}
