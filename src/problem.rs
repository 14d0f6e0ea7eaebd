//! The data of a fit, borrowed and checked once.

use crate::error::{Error, Result};
use crate::linalg::Threads;
use crate::loss::{LossKind, Targets};
use crate::real::{Real, cast};
use crate::rows::{Rows, first_non_finite};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

/// Inputs, targets and sample weights that fit together.
#[derive(Debug)]
pub struct Problem<'a, T> {
    x: Rows<'a, T>,
    targets: Targets<'a, T>,
    weights: Option<Array1<T>>,
    n_outputs: usize,
}

impl<'a, T: Real> Problem<'a, T> {
    /// Checks shapes, finiteness and labels; scales the sample weights to mean 1.
    ///
    /// `x` is `(n_samples, n_features)`, dense in any layout or sparse, `weights` is `(n_samples,)`.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::NonFinite`], [`Error::Labels`], [`Error::Domain`],
    /// [`Error::Parameter`].
    pub fn new(
        x: impl Into<Rows<'a, T>>,
        targets: Targets<'a, T>,
        weights: Option<ArrayView1<'a, T>>,
        n_outputs: usize,
        loss: LossKind,
    ) -> Result<Self> {
        let x = x.into();
        let (n, d) = x.dim();
        if n == 0 || d == 0 {
            return Err(shape("X", &[n, d], "at least one sample and one feature".into()));
        }
        if targets.len() != n {
            return Err(shape("y", &[targets.len()], format!("one target for each of {n} samples")));
        }
        if let Some((row, column, value)) = x.first_non_finite(Threads::All) {
            return Err(non_finite("X", vec![row, column], value));
        }
        check_targets(&targets, n_outputs, loss)?;
        let weights = weights.map(|weights| mean_one(weights, n)).transpose()?;
        Ok(Self { x, targets, weights, n_outputs })
    }

    /// The same inputs and weights with other targets, as many and of as many outputs.
    pub(crate) fn with_targets<'b>(&self, targets: Targets<'b, T>) -> Problem<'b, T>
    where
        'a: 'b,
    {
        Problem { x: self.x.reborrow(), targets, weights: self.weights.clone(), n_outputs: self.n_outputs }
    }

    /// Inputs, `(n_samples, n_features)`.
    pub fn x(&self) -> Rows<'_, T> {
        self.x.reborrow()
    }

    /// Targets, one per sample.
    pub fn targets(&self) -> &Targets<'a, T> {
        &self.targets
    }

    /// Sample weights of mean 1, `(n_samples,)`, or `None` for equal ones.
    pub fn weights(&self) -> Option<ArrayView1<'_, T>> {
        self.weights.as_ref().map(|weights| weights.view())
    }

    /// Targets and weights in the precision of a solver.
    pub(crate) fn supervision<C: Real>(&self) -> Supervision<'a, C> {
        let (classes, values) = match self.targets {
            Targets::Classes(classes) => (classes, None),
            Targets::Values(values) => (&[][..], Some(cast(&values))),
        };
        Supervision { classes, values, weights: self.weights.as_ref().map(cast) }
    }

    /// Rows of positive weight, in order.
    pub fn counting_rows(&self) -> Vec<usize> {
        match &self.weights {
            Some(weights) => (0..weights.len()).filter(|&row| weights[row] > T::zero()).collect(),
            None => (0..self.n_samples()).collect(),
        }
    }

    /// Number of samples.
    pub fn n_samples(&self) -> usize {
        self.x.nrows()
    }

    /// Number of features.
    pub fn n_features(&self) -> usize {
        self.x.ncols()
    }

    /// Number of output units.
    pub fn n_outputs(&self) -> usize {
        self.n_outputs
    }
}

/// What is known of the samples beside their inputs; values and weights owned.
#[derive(Debug)]
pub(crate) struct Supervision<'a, C> {
    classes: &'a [u32],
    values: Option<Array2<C>>,
    weights: Option<Array1<C>>,
}

impl<C> Supervision<'_, C> {
    /// Targets, one per sample.
    pub fn targets(&self) -> Targets<'_, C> {
        match &self.values {
            Some(values) => Targets::Values(values.view()),
            None => Targets::Classes(self.classes),
        }
    }

    /// Sample weights of mean 1, `(n_samples,)`, or `None` for equal ones.
    pub fn weights(&self) -> Option<ArrayView1<'_, C>> {
        self.weights.as_ref().map(|weights| weights.view())
    }
}

fn check_targets<T: Real>(targets: &Targets<'_, T>, n_outputs: usize, loss: LossKind) -> Result<()> {
    let outputs = |holds: bool, allowed: &'static str| {
        if holds {
            return Ok(());
        }
        Err(Error::Parameter { name: "n_outputs", got: n_outputs.to_string(), allowed: allowed.into() })
    };
    match (loss, targets) {
        (LossKind::Softmax { .. }, Targets::Classes(classes)) => {
            outputs(n_outputs >= 2, "at least 2 for the softmax loss")?;
            check_classes(classes, n_outputs)
        }
        (LossKind::Logistic { .. }, Targets::Classes(classes)) => {
            outputs(n_outputs == 1, "1 for the logistic loss")?;
            check_classes(classes, 2)
        }
        (LossKind::Softmax { .. } | LossKind::Logistic { .. }, Targets::Values(_)) => Err(Error::Parameter {
            name: "y",
            got: "real values".into(),
            allowed: "class indices for the softmax and logistic losses".into(),
        }),
        (_, Targets::Values(values)) => {
            if values.ncols() != n_outputs {
                return Err(shape("y", values.shape(), format!("{n_outputs} columns")));
            }
            outputs(n_outputs >= 1, "at least 1")?;
            check_values(*values, loss)
        }
        (_, Targets::Classes(_)) => Err(Error::Parameter {
            name: "y",
            got: "class indices".into(),
            allowed: format!("a matrix of values for the {} loss", loss.name()).into(),
        }),
    }
}

/// Checks that values are in the domain of the loss.
///
/// # Errors
/// [`Error::NonFinite`], [`Error::Domain`].
pub fn check_values<T: Real>(y: ArrayView2<'_, T>, loss: LossKind) -> Result<()> {
    if let Some((row, column)) = first_non_finite(y, Threads::One) {
        return Err(non_finite("y", vec![row, column], y[[row, column]]));
    }
    match y.indexed_iter().find(|(_, value)| !loss.allows(**value)) {
        Some(((row, _), value)) => {
            Err(Error::Domain { row, got: value.f64(), allowed: loss.domain(), loss: loss.name() })
        }
        None => Ok(()),
    }
}

fn check_classes(classes: &[u32], count: usize) -> Result<()> {
    match classes.iter().position(|&class| class as usize >= count) {
        Some(row) => Err(Error::Labels { row, got: classes[row] as usize, classes: count }),
        None => Ok(()),
    }
}

fn mean_one<T: Real>(weights: ArrayView1<'_, T>, n: usize) -> Result<Array1<T>> {
    if weights.len() != n {
        return Err(shape("sample_weight", &[weights.len()], format!("({n},), one weight a sample")));
    }
    if let Some(row) = weights.iter().position(|w| !w.is_finite()) {
        return Err(non_finite("sample_weight", vec![row], weights[row]));
    }
    if let Some(&negative) = weights.iter().find(|w| **w < T::zero()) {
        return Err(Error::Parameter {
            name: "sample_weight",
            got: negative.to_string(),
            allowed: "0 or more for every sample".into(),
        });
    }
    // Divided before the sum, which could overflow.
    let mean = weights.iter().map(|w| w.f64() / n as f64).sum::<f64>();
    if mean <= 0.0 {
        return Err(Error::Parameter {
            name: "sample_weight",
            got: "zeros only".into(),
            allowed: "positive for at least one sample".into(),
        });
    }
    Ok(weights.mapv(|w| T::of(w.f64() / mean)))
}

fn shape(argument: &str, got: &[usize], expected: String) -> Error {
    Error::Shape { argument: argument.into(), got: got.to_vec(), expected }
}

fn non_finite<T: Real>(argument: &str, index: Vec<usize>, value: T) -> Error {
    Error::NonFinite { argument: argument.into(), index, value: value.f64() }
}
