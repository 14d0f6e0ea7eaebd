//! Losses on the logits of the last layer: value, gradient, curvature bound.
//!
//! One file per loss. Rows are samples; a loss works on one row of logits at a time, in place,
//! so that the solver needs no second buffer.

mod absolute;
mod huber;
mod logistic;
mod multilabel;
mod poisson;
mod softmax;
mod squared;

use crate::error::{Error, Result};
use crate::notation::Call;
use crate::real::Real;
use ndarray::ArrayView2;

pub use absolute::AbsoluteLoss;
pub use huber::HuberLoss;
pub use logistic::LogisticLoss;
pub use multilabel::MultilabelLoss;
pub use poisson::PoissonLoss;
pub use softmax::SoftmaxLoss;
pub use squared::SquaredLoss;

/// What is to be predicted, for all samples.
#[derive(Debug, Clone, Copy)]
pub enum Targets<'a, T> {
    /// Class indices from 0, one per sample.
    Classes(&'a [u32]),
    /// Real values, or 0 and 1 for the labels that a sample has not and has, `(n_samples, n_outputs)`.
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

    /// ℓ(y, 0): what the constant prediction of standardised targets costs.
    fn value_at_zero(&self, targets: &Targets<'_, T>, row: usize, n_outputs: usize) -> T;

    /// Upper bound of the largest eigenvalue of ∂²ℓ/∂z²; infinity where there is none.
    fn curvature_bound(&self) -> T;

    /// Share of each label that is spread evenly over all classes; 0 for losses on real targets.
    fn label_smoothing(&self) -> f64 {
        0.0
    }

    /// Score that early stopping watches, larger is better: 1 or 0 for a right or wrong class or set of
    /// labels, −ℓ for real targets.
    fn score(&self, targets: &Targets<'_, T>, row: usize, logits: &[T]) -> T;
}

/// A loss on real targets that is a sum over outputs.
trait Separable: Send + Sync + std::fmt::Debug {
    /// ℓ(y, z) of one output and ∂ℓ/∂z.
    fn value_and_slope<T: Real>(&self, y: T, z: T) -> (T, T);

    /// As [`Loss::curvature_bound`].
    fn curvature_bound(&self) -> f64;
}

impl<T: Real, S: Separable> Loss<T> for S {
    fn value_and_gradient(&self, targets: &Targets<'_, T>, row: usize, logits: &mut [T]) -> T {
        let mut sum = T::zero();
        for (column, z) in logits.iter_mut().enumerate() {
            let (value, slope) = self.value_and_slope(value_of(targets, row, column), *z);
            sum += value;
            *z = slope;
        }
        sum
    }

    fn value_at_zero(&self, targets: &Targets<'_, T>, row: usize, n_outputs: usize) -> T {
        (0..n_outputs).map(|column| self.value_and_slope(value_of(targets, row, column), T::zero()).0).sum()
    }

    fn curvature_bound(&self) -> T {
        T::of(Separable::curvature_bound(self))
    }

    fn score(&self, targets: &Targets<'_, T>, row: usize, logits: &[T]) -> T {
        let values = logits.iter().enumerate();
        -values.map(|(column, &z)| self.value_and_slope(value_of(targets, row, column), z).0).sum::<T>()
    }
}

/// The user's choice of loss: plain data.
///
/// Parameters are in units of the targets that the solver sees: standardised ones
/// ([`crate::solver::TargetMap`]).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum LossKind {
    /// Softmax cross-entropy over two or more outputs.
    Softmax {
        /// s of [`SoftmaxLoss`].
        smoothing: f64,
    },
    /// Binary cross-entropy on one output.
    Logistic {
        /// s of [`LogisticLoss`].
        smoothing: f64,
    },
    /// Sum of binary cross-entropies, one a label.
    Multilabel {
        /// s of [`MultilabelLoss`].
        smoothing: f64,
    },
    /// Half the squared distance.
    Squared,
    /// Sum of absolute differences, smoothed.
    Absolute {
        /// μ of [`AbsoluteLoss`].
        smoothing: f64,
    },
    /// Quadratic near the target, linear beyond.
    Huber {
        /// ε of [`HuberLoss`].
        epsilon: f64,
    },
    /// Half the Poisson deviance of exp(z).
    Poisson,
}

impl LossKind {
    /// Softmax cross-entropy with plain labels.
    pub const SOFTMAX: LossKind = LossKind::Softmax { smoothing: 0.0 };
    /// Binary cross-entropy with plain labels.
    pub const LOGISTIC: LossKind = LossKind::Logistic { smoothing: 0.0 };

    /// Binary cross-entropies with plain labels.
    pub const MULTILABEL: LossKind = LossKind::Multilabel { smoothing: 0.0 };

    /// Every loss, with the default parameters.
    pub const ALL: &'static [LossKind] = &[
        LossKind::SOFTMAX,
        LossKind::LOGISTIC,
        LossKind::MULTILABEL,
        LossKind::Squared,
        // Small beside the residuals of most fits, large enough for steps of a useful length.
        LossKind::Absolute { smoothing: 0.05 },
        // 95 % of the squared loss's efficiency on normal errors (Huber 1981).
        LossKind::Huber { epsilon: 1.35 },
        LossKind::Poisson,
    ];

    /// The name by which callers ask for it.
    pub fn name(self) -> &'static str {
        match self {
            LossKind::Softmax { .. } => "softmax",
            LossKind::Logistic { .. } => "logistic",
            LossKind::Multilabel { .. } => "multilabel",
            LossKind::Squared => "squared_error",
            LossKind::Absolute { .. } => "absolute_error",
            LossKind::Huber { .. } => "huber",
            LossKind::Poisson => "poisson",
        }
    }

    /// Reads a name, or a name with its parameter such as `huber(1.35)`.
    ///
    /// # Errors
    /// [`Error::UnknownName`]; [`Error::Parameter`] for a parameter outside its range.
    pub fn parse(text: &str) -> Result<Self> {
        Self::parse_among(text, Self::ALL)
    }

    /// As [`LossKind::parse`], for losses on real targets alone.
    ///
    /// # Errors
    /// As [`LossKind::parse`].
    pub fn parse_regression(text: &str) -> Result<Self> {
        let choices: Vec<LossKind> = Self::ALL.iter().copied().filter(|kind| kind.is_regression()).collect();
        Self::parse_among(text, &choices)
    }

    fn parse_among(text: &str, choices: &[LossKind]) -> Result<Self> {
        let call = Call::parse("loss", text)?;
        let Some(kind) = choices.iter().copied().find(|kind| kind.name() == call.name) else {
            let choices = choices.iter().map(|kind| kind.name()).collect();
            return Err(Error::UnknownName { name: "loss", got: call.name.into(), choices });
        };
        let positive = |value: f64| match value > 0.0 && value.is_finite() {
            true => Ok(value),
            false => Err(Error::Parameter {
                name: "loss",
                got: call.to_string(),
                allowed: format!("'{}(value)' with a finite value above 0", call.name).into(),
            }),
        };
        let share = |value: f64| match (0.0..1.0).contains(&value) {
            true => Ok(value),
            false => Err(Error::Parameter {
                name: "label_smoothing",
                got: value.to_string(),
                allowed: "in the interval [0, 1)".into(),
            }),
        };
        Ok(match kind {
            LossKind::Softmax { smoothing } => {
                let [smoothing] = call.bind("loss", [("label_smoothing", Some(smoothing))])?;
                LossKind::Softmax { smoothing: share(smoothing)? }
            }
            LossKind::Logistic { smoothing } => {
                let [smoothing] = call.bind("loss", [("label_smoothing", Some(smoothing))])?;
                LossKind::Logistic { smoothing: share(smoothing)? }
            }
            LossKind::Multilabel { smoothing } => {
                let [smoothing] = call.bind("loss", [("label_smoothing", Some(smoothing))])?;
                LossKind::Multilabel { smoothing: share(smoothing)? }
            }
            LossKind::Absolute { smoothing } => {
                let [smoothing] = call.bind("loss", [("smoothing", Some(smoothing))])?;
                LossKind::Absolute { smoothing: positive(smoothing)? }
            }
            LossKind::Huber { epsilon } => {
                let [epsilon] = call.bind("loss", [("epsilon", Some(epsilon))])?;
                LossKind::Huber { epsilon: positive(epsilon)? }
            }
            plain => {
                let [] = call.bind("loss", [])?;
                plain
            }
        })
    }

    /// Whether targets are real values rather than classes or labels.
    pub fn is_regression(self) -> bool {
        !matches!(self, LossKind::Softmax { .. } | LossKind::Logistic { .. } | LossKind::Multilabel { .. })
    }

    /// Whether targets are [`Targets::Values`]: real ones, or the 0 and 1 of labels.
    pub fn has_values(self) -> bool {
        self.is_regression() || matches!(self, LossKind::Multilabel { .. })
    }

    /// Whether a finite value can be a target.
    pub fn allows<T: Real>(self, y: T) -> bool {
        match self {
            LossKind::Poisson => y >= T::zero(),
            LossKind::Multilabel { .. } => y == T::zero() || y == T::one(),
            _ => true,
        }
    }

    /// What targets can be, in words.
    pub fn domain(self) -> &'static str {
        match self {
            LossKind::Softmax { .. } | LossKind::Logistic { .. } => "class indices",
            LossKind::Multilabel { .. } => "0 or 1",
            LossKind::Poisson => "values of at least 0",
            LossKind::Squared | LossKind::Absolute { .. } | LossKind::Huber { .. } => "finite values",
        }
    }

    /// Name of the function from logits to predictions.
    pub fn inverse_link(self) -> &'static str {
        match self {
            LossKind::Softmax { .. } => "softmax",
            LossKind::Logistic { .. } | LossKind::Multilabel { .. } => "logistic",
            LossKind::Squared | LossKind::Absolute { .. } | LossKind::Huber { .. } => "identity",
            LossKind::Poisson => "exp",
        }
    }

    /// The working object.
    pub fn make<T: Real>(self) -> Box<dyn Loss<T>> {
        match self {
            LossKind::Softmax { smoothing } => Box::new(SoftmaxLoss { smoothing }),
            LossKind::Logistic { smoothing } => Box::new(LogisticLoss { smoothing }),
            LossKind::Multilabel { smoothing } => Box::new(MultilabelLoss { smoothing }),
            LossKind::Squared => Box::new(SquaredLoss),
            LossKind::Absolute { smoothing } => Box::new(AbsoluteLoss { smoothing }),
            LossKind::Huber { epsilon } => Box::new(HuberLoss { epsilon }),
            LossKind::Poisson => Box::new(PoissonLoss),
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

/// Real target; classes never reach the losses that ask (`Problem::new`).
fn value_of<T: Real>(targets: &Targets<'_, T>, row: usize, column: usize) -> T {
    match targets {
        Targets::Values(values) => values[[row, column]],
        Targets::Classes(_) => T::zero(),
    }
}
