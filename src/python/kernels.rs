//! The convex sub-problems one by one, for `liftnet.kernels`.

use super::arrays::{Inputs, matrix, vector};
use super::runner;
use crate::activation::{ActivationKind, Divergence};
use crate::error::Result;
use crate::kernel::activation_block::{Above, ActivationBlock};
use crate::kernel::activation_parameter::activation_parameter as learn_parameter;
use crate::kernel::bounded_least_squares::{BoundedLeastSquares, Bounds, bounded_least_squares};
use crate::kernel::class_regression::{logistic_regression, softmax_regression};
use crate::kernel::matching_regression::matching_regression;
use crate::kernel::ridge::RidgeFactor;
use crate::kernel::smooth_regression::{Affine, SmoothRegression};
use crate::kernel::{Report, Stopping};
use crate::loss::{LossKind, Targets};
use crate::real::Real;
use ndarray::{Array1, Array2, ArrayView2, CowArray};
use numpy::{Element, IntoPyArray, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Solution, `n_iter`, `residual`, `converged`.
type Answer<'py> = (Bound<'py, PyAny>, usize, f64, bool);
/// The same with the intercept after the solution.
type AffineAnswer<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, usize, f64, bool);

const SAME: &str = "a 1-d array of the same precision as the first argument";

/// When to end, and on how many threads to work.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct PyEffort {
    tol: f64,
    max_iter: usize,
    n_threads: usize,
}

impl PyEffort {
    /// Runs a kernel on a pool of its own; an exception of a signal handler ends it.
    fn run<R: Send>(
        &self,
        py: Python<'_>,
        kernel: impl FnOnce(Stopping<'_>) -> Result<R> + Send,
    ) -> PyResult<R> {
        let (tol, max_iter) = (self.tol, self.max_iter);
        let work = |bridge: &mut runner::Bridge<'_>| {
            let bridge = &*bridge;
            kernel(Stopping { tol, max_iter, interrupted: &|| bridge.is_interrupted() })
        };
        let (result, exception) = runner::run(py, self.n_threads, &runner::Listeners::default(), work)?;
        exception.map_or(Ok(result), Err)
    }
}

#[pyfunction]
#[pyo3(signature = (a, b, lower, upper, effort, *, from_gram=false, start=None))]
pub fn box_least_squares<'py>(
    a: &Bound<'py, PyAny>,
    b: &Bound<'py, PyAny>,
    lower: &Bound<'py, PyAny>,
    upper: &Bound<'py, PyAny>,
    effort: &Bound<'py, PyDict>,
    from_gram: bool,
    start: Option<&Bound<'py, PyAny>>,
) -> PyResult<Answer<'py>> {
    let request = BoxRequest { b, lower, upper, effort: effort.extract()?, from_gram, start };
    match Inputs::borrow("A", a)? {
        Inputs::F32(a) => request.solve(&a),
        Inputs::F64(a) => request.solve(&a),
    }
}

/// All but A, of whose precision the rest must be.
struct BoxRequest<'a, 'py> {
    b: &'a Bound<'py, PyAny>,
    lower: &'a Bound<'py, PyAny>,
    upper: &'a Bound<'py, PyAny>,
    effort: PyEffort,
    from_gram: bool,
    start: Option<&'a Bound<'py, PyAny>>,
}

impl<'py> BoxRequest<'_, 'py> {
    fn solve<T: Real + Element>(self, a: &PyReadonlyArray2<'py, T>) -> PyResult<Answer<'py>> {
        let py = self.b.py();
        let b = matrix::<T>("B", self.b)?;
        let (a, b) = (a.as_array(), b.as_array());
        let lower = vector::<T>("lower", self.lower, SAME)?.as_array().to_owned();
        let upper = vector::<T>("upper", self.upper, SAME)?.as_array().to_owned();
        let mut solution = match self.start {
            Some(start) => matrix::<T>("start", start)?.as_array().reversed_axes().to_owned(),
            None => Array2::zeros((b.ncols(), a.ncols())),
        };
        let from_gram = self.from_gram;
        let report = self.effort.run(py, |stopping| {
            let bounds = Bounds::new(lower, upper)?;
            let target = solution.view_mut();
            match from_gram {
                true => BoundedLeastSquares::new(a, bounds)?.solve(b.reversed_axes(), target, stopping),
                false => bounded_least_squares(a, b, bounds, target, stopping),
            }
        })?;
        Ok(answer(solution.reversed_axes().into_pyarray(py).into_any(), report))
    }
}

fn answer(solution: Bound<'_, PyAny>, report: Report) -> Answer<'_> {
    (solution, report.n_iter, report.residual, report.converged)
}

/// A factored ridge problem in one of the two precisions.
#[pyclass(frozen, module = "liftnet._core")]
pub struct RidgeFactorization {
    factor: Factor,
}

enum Factor {
    F32(RidgeFactor<'static, f32>),
    F64(RidgeFactor<'static, f64>),
}

#[pymethods]
impl RidgeFactorization {
    #[new]
    #[pyo3(signature = (x, alpha, sample_weight, fit_intercept, n_threads))]
    fn new(
        x: &Bound<'_, PyAny>,
        alpha: &Bound<'_, PyAny>,
        sample_weight: Option<&Bound<'_, PyAny>>,
        fit_intercept: bool,
        n_threads: usize,
    ) -> PyResult<Self> {
        let py = x.py();
        let effort = PyEffort { tol: 0.0, max_iter: 0, n_threads };
        let factor = match Inputs::borrow("X", x)? {
            Inputs::F32(x) => {
                Factor::F32(factor(py, x.as_array(), alpha, sample_weight, fit_intercept, &effort)?)
            }
            Inputs::F64(x) => {
                Factor::F64(factor(py, x.as_array(), alpha, sample_weight, fit_intercept, &effort)?)
            }
        };
        Ok(Self { factor })
    }

    /// Coefficients, intercepts, `n_iter`, `residual`, `converged`.
    #[pyo3(signature = (y, n_threads))]
    fn solve<'py>(&self, y: &Bound<'py, PyAny>, n_threads: usize) -> PyResult<AffineAnswer<'py>> {
        match &self.factor {
            Factor::F32(factor) => solve(factor, y, n_threads),
            Factor::F64(factor) => solve(factor, y, n_threads),
        }
    }
}

fn factor<T: Real + Element>(
    py: Python<'_>,
    x: ArrayView2<'_, T>,
    alpha: &Bound<'_, PyAny>,
    sample_weight: Option<&Bound<'_, PyAny>>,
    fit_intercept: bool,
    effort: &PyEffort,
) -> PyResult<RidgeFactor<'static, T>> {
    let alpha: Array1<T> = vector("alpha", alpha, SAME)?.as_array().to_owned();
    let weights = sample_weight.map(|weights| vector::<T>("sample_weight", weights, SAME)).transpose()?;
    let weights = weights.as_ref().map(|weights| weights.as_array());
    // A copy: Python may change the array between two solves.
    effort.run(py, |_| RidgeFactor::new(CowArray::from(x.to_owned()), alpha.view(), weights, fit_intercept))
}

fn solve<'py, T: Real + Element>(
    factor: &RidgeFactor<'static, T>,
    y: &Bound<'py, PyAny>,
    n_threads: usize,
) -> PyResult<AffineAnswer<'py>> {
    let py = y.py();
    let y = matrix::<T>("Y", y)?;
    let y = y.as_array();
    let effort = PyEffort { tol: 0.0, max_iter: 0, n_threads };
    let solution = effort.run(py, |_| factor.solve(y))?;
    let Report { n_iter, residual, converged } = solution.report;
    let coef = solution.coef.into_pyarray(py).into_any();
    Ok((coef, solution.intercept.into_pyarray(py).into_any(), n_iter, residual, converged))
}

#[pyfunction]
#[pyo3(signature = (x, y, loss, alpha, effort, *, n_classes=0, sample_weight=None, fit_intercept=true))]
#[allow(clippy::too_many_arguments)] // one for each of Python's
pub fn smooth_regression<'py>(
    x: &Bound<'py, PyAny>,
    y: &Bound<'py, PyAny>,
    loss: &str,
    alpha: f64,
    effort: &Bound<'py, PyDict>,
    n_classes: usize,
    sample_weight: Option<&Bound<'py, PyAny>>,
    fit_intercept: bool,
) -> PyResult<AffineAnswer<'py>> {
    let effort = effort.extract()?;
    let request = SmoothRequest { y, loss, alpha, effort, n_classes, sample_weight, fit_intercept };
    match Inputs::borrow("X", x)? {
        Inputs::F32(x) => request.solve(&x),
        Inputs::F64(x) => request.solve(&x),
    }
}

/// All but X, of whose precision the rest must be. `loss` is "logistic", "softmax" or "matching "
/// with the name of an activation.
struct SmoothRequest<'a, 'py> {
    y: &'a Bound<'py, PyAny>,
    loss: &'a str,
    alpha: f64,
    effort: PyEffort,
    n_classes: usize,
    sample_weight: Option<&'a Bound<'py, PyAny>>,
    fit_intercept: bool,
}

impl<'py> SmoothRequest<'_, 'py> {
    fn solve<T: Real + Element>(self, x: &PyReadonlyArray2<'py, T>) -> PyResult<AffineAnswer<'py>> {
        let py = self.y.py();
        let x = x.as_array();
        let weights = self.sample_weight.map(|w| vector::<T>("sample_weight", w, SAME)).transpose()?;
        let weights = weights.as_ref().map(|weights| weights.as_array());
        let (alpha, fit_intercept) = (self.alpha, self.fit_intercept);
        let (affine, report) = match self.loss.strip_prefix("matching ") {
            Some(name) => {
                let activation = ActivationKind::parse(name)?;
                let y = matrix::<T>("Y", self.y)?;
                let y = y.as_array();
                self.effort.run(py, |stopping| {
                    let problem = SmoothRegression::new(x, weights, alpha, fit_intercept)?;
                    matching_regression(&problem, y, activation, stopping)
                })?
            }
            None => {
                let (loss, n_classes) = (LossKind::parse(self.loss)?, self.n_classes);
                let y = vector::<u32>("y", self.y, CLASSES)?;
                let y = contiguous(&y)?;
                self.effort.run(py, |stopping| {
                    let problem = SmoothRegression::new(x, weights, alpha, fit_intercept)?;
                    match loss {
                        LossKind::Logistic { .. } => logistic_regression(&problem, y, stopping),
                        _ => softmax_regression(&problem, y, n_classes, stopping),
                    }
                })?
            }
        };
        Ok(affine_answer(py, affine, report))
    }
}

const CLASSES: &str = "a contiguous 1-d array of uint32 class indices";

fn contiguous<'a>(classes: &'a PyReadonlyArray1<'_, u32>) -> PyResult<&'a [u32]> {
    classes.as_slice().map_err(|_| PyTypeError::new_err("class indices must be contiguous, got gaps"))
}

fn affine_answer<T: Real + Element>(py: Python<'_>, affine: Affine<T>, report: Report) -> AffineAnswer<'_> {
    let Report { n_iter, residual, converged } = report;
    let coef = affine.coef.into_pyarray(py).into_any();
    (coef, affine.intercept.into_pyarray(py).into_any(), n_iter, residual, converged)
}

#[pyfunction]
pub fn activation_block<'py>(
    z: &Bound<'py, PyAny>,
    weights: &Bound<'py, PyAny>,
    intercept: &Bound<'py, PyAny>,
    target: &Bound<'py, PyAny>,
    terms: &Bound<'py, PyDict>,
    effort: &Bound<'py, PyDict>,
) -> PyResult<Answer<'py>> {
    let request =
        BlockRequest { weights, intercept, target, terms: terms.extract()?, effort: effort.extract()? };
    match Inputs::borrow("Z", z)? {
        Inputs::F32(z) => request.solve(&z),
        Inputs::F64(z) => request.solve(&z),
    }
}

/// The parameter, `n_iter`, `residual`, `converged`.
#[pyfunction]
#[pyo3(signature = (x, z, activation, effort, *, sample_weight=None))]
pub fn activation_parameter(
    x: &Bound<'_, PyAny>,
    z: &Bound<'_, PyAny>,
    activation: &str,
    effort: &Bound<'_, PyDict>,
    sample_weight: Option<&Bound<'_, PyAny>>,
) -> PyResult<(f64, usize, f64, bool)> {
    let (kind, effort) = (ActivationKind::parse(activation)?, effort.extract()?);
    match Inputs::borrow("X", x)? {
        Inputs::F32(x) => parameter(&x, z, kind, &effort, sample_weight),
        Inputs::F64(x) => parameter(&x, z, kind, &effort, sample_weight),
    }
}

fn parameter<'py, T: Real + Element>(
    x: &PyReadonlyArray2<'py, T>,
    z: &Bound<'py, PyAny>,
    kind: ActivationKind,
    effort: &PyEffort,
    sample_weight: Option<&Bound<'py, PyAny>>,
) -> PyResult<(f64, usize, f64, bool)> {
    let borrowed = matrix::<T>("Z", z)?;
    let weights = sample_weight.map(|w| vector::<T>("sample_weight", w, SAME)).transpose()?;
    let weights = weights.as_ref().map(|weights| weights.as_array());
    let (x, at) = (x.as_array(), borrowed.as_array());
    let (value, report) = effort.run(z.py(), |stopping| learn_parameter(x, at, weights, kind, stopping))?;
    Ok((value, report.n_iter, report.residual, report.converged))
}

/// What ties the layer to its pre-activations and to the layer above.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct PyTerms {
    activation: String,
    penalty_weight: f64,
    next_activation: Option<String>,
    next_penalty_weight: f64,
    divergence: String,
    loss: Option<String>,
}

/// All but Z, of whose precision the rest must be.
struct BlockRequest<'a, 'py> {
    weights: &'a Bound<'py, PyAny>,
    intercept: &'a Bound<'py, PyAny>,
    target: &'a Bound<'py, PyAny>,
    terms: PyTerms,
    effort: PyEffort,
}

impl<'py> BlockRequest<'_, 'py> {
    fn solve<T: Real + Element>(self, z: &PyReadonlyArray2<'py, T>) -> PyResult<Answer<'py>> {
        let py = self.target.py();
        let weights = matrix::<T>("W", self.weights)?;
        let intercept = vector::<T>("b", self.intercept, SAME)?;
        let loss = self.terms.loss.as_deref().map(LossKind::parse).transpose()?;
        let divergence = Divergence::parse(&self.terms.divergence)?;
        let lambda = self.terms.next_penalty_weight;
        let (values, classes);
        let above = match (loss, &self.terms.next_activation) {
            (Some(loss), _) if !loss.has_values() => {
                classes = vector::<u32>("target", self.target, CLASSES)?;
                Above::Output { loss, targets: Targets::Classes(contiguous(&classes)?) }
            }
            (Some(loss), _) => {
                values = matrix::<T>("target", self.target)?;
                Above::Output { loss, targets: Targets::Values(values.as_array()) }
            }
            (None, name) => {
                let activation = ActivationKind::parse(name.as_deref().unwrap_or("identity"))?;
                values = matrix::<T>("target", self.target)?;
                Above::Hidden { activation, divergence, lambda, targets: values.as_array() }
            }
        };
        let block = ActivationBlock {
            activation: ActivationKind::parse(&self.terms.activation)?,
            lambda: self.terms.penalty_weight,
            weights: weights.as_array(),
            intercept: intercept.as_array(),
            above,
        };
        let z = z.as_array();
        let (x, report) = self.effort.run(py, |stopping| block.solve(z, stopping))?;
        Ok(answer(x.into_pyarray(py).into_any(), report))
    }
}
