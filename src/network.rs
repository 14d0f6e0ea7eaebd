//! A trained network: weights, biases, activation; forward passes from these alone.

use crate::activation::ActivationKind;
use crate::error::{Error, Result};
use crate::linalg::{Threads, product};
use crate::real::Real;
use crate::rows::Rows;
use ndarray::{Array1, Array2, ArrayViewMut2, Axis};
use rayon::prelude::*;

/// Weights in scikit-learn's layout: `coefs[l]` is `(n_in, n_out)`, `intercepts[l]` is `(n_out,)`.
#[derive(Debug, Clone)]
pub struct Network<T> {
    /// One matrix a layer.
    pub coefs: Vec<Array2<T>>,
    /// One vector a layer.
    pub intercepts: Vec<Array1<T>>,
    /// Activation of each hidden layer; the last layer is linear.
    pub activations: Vec<ActivationKind>,
}

impl<T: Real> Network<T> {
    /// Multiplies and then moves each output by a gain and an offset.
    pub(crate) fn map_outputs(&mut self, maps: impl Iterator<Item = (f64, f64)>) {
        if let (Some(coef), Some(intercept)) = (self.coefs.last_mut(), self.intercepts.last_mut()) {
            let columns = coef.columns_mut().into_iter().zip(intercept).zip(maps);
            for ((mut weights, intercept), (gain, offset)) in columns {
                weights.map_inplace(|w| *w = T::of(gain * w.f64()));
                *intercept = T::of(gain * intercept.f64() + offset);
            }
        }
    }

    /// Checks that layer sizes chain from `n_features` on and that every weight is finite.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::NonFinite`].
    pub fn check(&self, n_features: usize) -> Result<()> {
        if self.coefs.is_empty() || self.coefs.len() != self.intercepts.len() {
            return Err(Error::Shape {
                argument: "coefs".into(),
                got: vec![self.coefs.len(), self.intercepts.len()],
                expected: "as many coefs as intercepts, at least one".into(),
            });
        }
        if self.activations.len() + 1 != self.coefs.len() {
            return Err(Error::Shape {
                argument: "activations".into(),
                got: vec![self.activations.len()],
                expected: format!("one for each of {} hidden layers", self.coefs.len() - 1),
            });
        }
        let mut inputs = n_features;
        for (l, (coef, intercept)) in self.coefs.iter().zip(&self.intercepts).enumerate() {
            if coef.nrows() != inputs || coef.ncols() != intercept.len() || intercept.is_empty() {
                return Err(Error::Shape {
                    argument: format!("coefs[{l}]"),
                    got: coef.shape().to_vec(),
                    expected: format!("({inputs}, {})", intercept.len()),
                });
            }
            let bad = coef.iter().chain(intercept).find(|v| !v.is_finite());
            if let Some(value) = bad {
                return Err(Error::NonFinite {
                    argument: format!("coefs[{l}] or intercepts[{l}]"),
                    index: vec![],
                    value: value.f64(),
                });
            }
            inputs = coef.ncols();
        }
        Ok(())
    }

    /// Logits, `(n_samples, n_outputs)`, of inputs `(n_samples, n_features)`, dense in any layout or sparse.
    ///
    /// # Errors
    /// As [`Network::check`].
    pub fn decision_function<'x>(&self, x: impl Into<Rows<'x, T>>, threads: Threads) -> Result<Array2<T>> {
        const ROWS: usize = 256;
        let x = x.into();
        self.check(x.ncols())?;
        let n_outputs = self.intercepts.last().map_or(0, Array1::len);
        let mut logits = Array2::zeros((x.nrows(), n_outputs));
        let out = logits.axis_chunks_iter_mut(Axis(0), ROWS);
        let forward = |(chunk, out): (usize, ArrayViewMut2<'_, T>)| self.forward(x, chunk * ROWS, out);
        match threads {
            Threads::One => out.into_iter().enumerate().for_each(forward),
            Threads::All => out.into_par_iter().enumerate().for_each(forward),
        }
        Ok(logits)
    }

    /// Logits of as many rows as `logits` has, from row `start` on.
    fn forward(&self, x: Rows<'_, T>, start: usize, mut logits: ArrayViewMut2<'_, T>) {
        let rows = start..start + logits.nrows();
        // z ← the layer's inputs times its weights; those of the first layer are the rows.
        let times = |hidden: &Option<Array2<T>>, coef: &Array2<T>, z: ArrayViewMut2<'_, T>| match hidden {
            Some(hidden) => product(T::one(), hidden.view(), coef.view(), T::zero(), z, Threads::One),
            None => x.times(rows.clone(), coef.view(), z),
        };
        let last = self.coefs.len() - 1;
        let mut hidden: Option<Array2<T>> = None;
        for (l, (coef, intercept)) in self.coefs.iter().zip(&self.intercepts).enumerate() {
            if l == last {
                times(&hidden, coef, logits.view_mut());
                logits += intercept;
            } else {
                let mut z = Array2::zeros((logits.nrows(), coef.ncols()));
                times(&hidden, coef, z.view_mut());
                z += intercept;
                let mut h = Array2::zeros(z.raw_dim());
                let phi = self.activations[l].make::<T>();
                for (z, mut h) in z.rows().into_iter().zip(h.rows_mut()) {
                    if let (Some(z), Some(h)) = (z.as_slice(), h.as_slice_mut()) {
                        phi.apply(z, h);
                    }
                }
                hidden = Some(h);
            }
        }
    }
}
