//! Losses on the logits of the last layer: value, gradient, curvature bound.
//!
//! One file per loss. Rows are samples; a loss works on one row of logits at a time, in place,
//! so that the solver needs no second buffer.

mod logistic;
mod softmax;
mod squared;

use crate::error::{Error, Result};
use crate::real::Real;
use ndarray::ArrayView2;

pub use logistic::LogisticLoss;
pub use softmax::SoftmaxLoss;
pub use squared::SquaredLoss;

/// What is to be predicted, for all samples.
#[derive(Debug, Clone, Copy)]
pub enum Targets<'a, T> {
    /// Class indices from 0, one per sample.
    Classes(&'a [u32]),
    /// Real values, `(n_samples, n_outputs)`.
    Values(ArrayView2<'a, T>),
}

impl<T> Targets<'_, T> {
    /// Number of samples.
    pub fn len(&self) -> usize {
        match self {
            Targets::Classes(classes) => classes.len(),
            Targets::Values(values) => values.nrows(),
        }
    }

    /// True without samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A convex function of the logits z of one sample with target y.
pub trait Loss<T: Real>: Send + Sync + std::fmt::Debug {
    /// Returns ℓ(y, z) and replaces the logits by ∂ℓ/∂z.
    fn value_and_gradient(&self, targets: &Targets<'_, T>, row: usize, logits: &mut [T]) -> T;

    /// Upper bound of the largest eigenvalue of ∂²ℓ/∂z².
    fn curvature_bound(&self) -> T;

    /// Score that early stopping watches, larger is better: 1 or 0 for a right or wrong class,
    /// −ℓ for real targets.
    fn score(&self, targets: &Targets<'_, T>, row: usize, logits: &[T]) -> T;
}

/// The user's choice of loss: plain data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LossKind {
    /// Softmax cross-entropy over two or more outputs.
    Softmax,
    /// Binary cross-entropy on one output.
    Logistic,
    /// Half the squared distance.
    Squared,
}

impl LossKind {
    /// Every loss.
    pub const ALL: &'static [LossKind] = &[LossKind::Softmax, LossKind::Logistic, LossKind::Squared];

    /// The name by which callers ask for it.
    pub fn name(self) -> &'static str {
        match self {
            LossKind::Softmax => "softmax",
            LossKind::Logistic => "logistic",
            LossKind::Squared => "squared",
        }
    }

    /// Looks a name up.
    ///
    /// # Errors
    /// [`Error::UnknownName`].
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name).ok_or_else(|| Error::UnknownName {
            name: "loss",
            got: name.into(),
            choices: Self::ALL.iter().map(|kind| kind.name()).collect(),
        })
    }

    /// The working object.
    pub fn make<T: Real>(self) -> Box<dyn Loss<T>> {
        match self {
            LossKind::Softmax => Box::new(SoftmaxLoss),
            LossKind::Logistic => Box::new(LogisticLoss),
            LossKind::Squared => Box::new(SquaredLoss),
        }
    }
}

/// Index of the target class; real targets never reach the losses that ask (`Problem::new`).
fn class_of<T>(targets: &Targets<'_, T>, row: usize) -> usize {
    match targets {
        Targets::Classes(classes) => classes[row] as usize,
        Targets::Values(_) => 0,
    }
}
