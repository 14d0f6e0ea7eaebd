//! `fit`: from Python's arrays and options to a solved problem and back.

use super::arrays::{Table, Tables, activations, into_lists, matrix, network, vector};
use super::runner::{self, Listeners};
use crate::activation::Divergence;
use crate::error::{Error, Result};
use crate::loss::{LossKind, Targets};
use crate::network::Network;
use crate::penalty::PenaltyKind;
use crate::problem::Problem;
use crate::real::Real;
use crate::solver::{Solution, Status, batch, stochastic, with_standard_targets};
use crate::spec::{Components, Merit, Scaling, Solver, Spec};
use numpy::{Element, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::{PyKeyboardInterrupt, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

pub(super) const SAME: &str = "a 1-d array of the precision of X";

/// The options as Python gives them; `None` is an automatic choice.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct PySpec {
    loss: String,
    hidden_layer_sizes: Vec<usize>,
    activation: Vec<String>,
    divergence: String,
    learn_activation: bool,
    dropout: Vec<f64>,
    alpha: Option<f64>,
    penalty: Vec<String>,
    penalty_weight: Option<f64>,
    solver: String,
    input_noise: Option<f64>,
    accelerate: bool,
    diagnostics: bool,
    total_weight: Option<f64>,
    scale: String,
    n_components: PyComponents,
    damping: Option<(f64, f64)>,
    batch_size: Option<usize>,
    max_iter: Option<usize>,
    learning_rate_init: Option<f64>,
    momentum: f64,
    tol: f64,
    n_iter_no_change: usize,
    early_stopping: bool,
    merit: String,
    max_time: Option<f64>,
    seed: u64,
    n_threads: usize,
    memory_limit: Option<u64>,
}

/// scikit-learn's reading of `PCA(n_components=...)`, and "auto".
struct PyComponents(Components);

impl<'py> FromPyObject<'_, 'py> for PyComponents {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if value.is_none() {
            return Ok(Self(Components::All));
        }
        if let Ok(count) = value.extract::<usize>() {
            return Ok(Self(Components::Count(count)));
        }
        if let Ok(share) = value.extract::<f64>() {
            return Ok(Self(Components::Share(share)));
        }
        match value.extract::<String>().as_deref() {
            Ok("auto") => Ok(Self(Components::Auto)),
            _ => Err(PyValueError::new_err(format!(
                "n_components must be 'auto', None, a positive integer or a share in (0, 1), got {}",
                value.repr()?
            ))),
        }
    }
}

impl PySpec {
    pub(super) fn spec(self) -> Result<Spec> {
        Ok(Spec {
            solver: Solver::parse(&self.solver)?,
            input_noise: self.input_noise,
            accelerate: self.accelerate,
            diagnostics: self.diagnostics,
            total_weight: self.total_weight,
            loss: LossKind::parse(&self.loss)?,
            hidden_layer_sizes: self.hidden_layer_sizes,
            activations: activations(&self.activation)?,
            divergence: Divergence::parse(&self.divergence)?,
            learn_activation: self.learn_activation,
            dropout: self.dropout,
            alpha: self.alpha,
            penalties: self.penalty.iter().map(|text| PenaltyKind::parse(text)).collect::<Result<_>>()?,
            penalty_weight: self.penalty_weight,
            scaling: Scaling::parse(&self.scale)?,
            components: self.n_components.0,
            damping: self.damping,
            batch_size: self.batch_size,
            max_iter: self.max_iter,
            learning_rate: self.learning_rate_init,
            momentum: self.momentum,
            tol: self.tol,
            n_iter_no_change: self.n_iter_no_change,
            early_stopping: self.early_stopping,
            merit: Merit::parse(&self.merit)?,
            max_time: self.max_time,
            seed: self.seed,
            threads: self.n_threads,
            memory_limit: self.memory_limit,
        })
    }
}

/// What a fit gave.
#[pyclass(frozen, get_all, module = "liftnet._core")]
pub struct FitResult {
    coefs: Py<PyList>,
    intercepts: Py<PyList>,
    /// Of each hidden layer, with learned parameters.
    activations: Vec<String>,
    loss_curve: Vec<f64>,
    validation_scores: Vec<f64>,
    /// Columns by name.
    history: Py<PyDict>,
    n_iter: usize,
    n_components: usize,
    n_retries: usize,
    status: &'static str,
}

#[pyfunction]
#[pyo3(signature = (
    x, y, n_outputs, options, *, sample_weight=None, start=None, validation=None, callback=None,
    with_weights=false, scorer=None
))]
#[allow(clippy::too_many_arguments)] // one for each of Python's
pub fn fit<'py>(
    x: &Bound<'py, PyAny>,
    y: Bound<'py, PyAny>,
    n_outputs: usize,
    options: &Bound<'py, PyDict>,
    sample_weight: Option<Bound<'py, PyAny>>,
    start: Option<Weights<'py>>,
    validation: Option<Validation<'py>>,
    callback: Option<Py<PyAny>>,
    with_weights: bool,
    scorer: Option<Py<PyAny>>,
) -> PyResult<FitResult> {
    let spec = options.extract::<PySpec>()?.spec()?;
    let listeners = Listeners { callback, with_weights, scorer };
    let request = Request { y, n_outputs, spec, sample_weight, start, validation, listeners };
    match Tables::borrow("X", x)? {
        Tables::F32(table) => request.fit(x.py(), &table),
        Tables::F64(table) => request.fit(x.py(), &table),
    }
}

/// Passes that a fit of so many samples and features will have at most.
#[pyfunction]
pub fn planned_passes(options: &Bound<'_, PyDict>, n_samples: usize, n_features: usize) -> PyResult<usize> {
    Ok(options.extract::<PySpec>()?.spec()?.check(n_samples, n_features)?.max_iter)
}

/// coefs and intercepts.
pub(super) type Weights<'py> = (Vec<Bound<'py, PyAny>>, Vec<Bound<'py, PyAny>>);

/// Inputs, targets, sample weights.
type Validation<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Option<Bound<'py, PyAny>>);

/// The network that training starts from.
pub(super) fn start_network<T: Real + Element>(
    start: Option<Weights<'_>>,
    spec: &Spec,
) -> PyResult<Option<Network<T>>> {
    start.map(|(coefs, intercepts)| network::<T>(&coefs, &intercepts, &spec.activations)).transpose()
}

/// All but X, of whose precision the rest must be.
struct Request<'py> {
    y: Bound<'py, PyAny>,
    n_outputs: usize,
    spec: Spec,
    sample_weight: Option<Bound<'py, PyAny>>,
    start: Option<Weights<'py>>,
    validation: Option<Validation<'py>>,
    listeners: Listeners,
}

impl<'py> Request<'py> {
    fn fit<T: Real + Element>(self, py: Python<'py>, x: &Table<'py, T>) -> PyResult<FitResult> {
        let Self { y, n_outputs, spec, sample_weight, start, validation, listeners } = self;
        let (loss, threads) = (spec.loss, spec.threads);
        let x = x.view()?;
        let y = BorrowedTargets::<T>::borrow("y", &y, loss)?;
        let targets = y.view()?;
        let sample_weight =
            sample_weight.map(|weights| vector::<T>("sample_weight", &weights, SAME)).transpose()?;
        let weights = sample_weight.as_ref().map(|weights| weights.as_array());
        let start = start_network::<T>(start, &spec)?;
        let held_out = validation
            .map(|(x, y, weights)| {
                let weights = weights.map(|weights| vector::<T>("sample_weight_val", &weights, SAME));
                let y = BorrowedTargets::<T>::borrow("y_val", &y, loss)?;
                Ok::<_, PyErr>((Table::<T>::borrow("X_val", &x)?, y, weights.transpose()?))
            })
            .transpose()?;
        let held_out = match &held_out {
            Some((x, y, weights)) => {
                Some((x.view()?, y.view()?, weights.as_ref().map(|weights| weights.as_array())))
            }
            None => None,
        };
        let (solution, exception) = runner::run(py, threads, &listeners, |control| {
            let problem = Problem::new(x, targets, weights, n_outputs, loss)?;
            let options = spec.check(x.nrows(), x.ncols())?;
            if let Some((x_val, ..)) = &held_out
                && x_val.ncols() != x.ncols()
            {
                let (got, expected) =
                    (vec![x_val.nrows(), x_val.ncols()], format!("{} columns, as X has", x.ncols()));
                return Err(Error::Shape { argument: "X_val".into(), got, expected });
            }
            let held_out =
                held_out.map(|(x, y, weights)| Problem::new(x, y, weights, n_outputs, loss)).transpose()?;
            let (start, held_out) = (start.as_ref(), held_out.as_ref());
            with_standard_targets(&problem, &options, start, held_out, |problem, options, start, held_out| {
                match options.solver {
                    Solver::Batch => batch(problem, options, start, held_out, control),
                    _ => stochastic::<f32, _>(problem, options, start, held_out, control),
                }
            })
        })?;
        let interrupted = match exception {
            // Ctrl-C ends the fit early and keeps what was reached. It is told even where the last
            // pass was done before the solver noticed.
            Some(error) if error.is_instance_of::<PyKeyboardInterrupt>(py) => true,
            Some(error) => return Err(error),
            None => false,
        };
        FitResult::new(py, solution, interrupted)
    }
}

/// Targets as borrowed from Python.
pub(super) enum BorrowedTargets<'py, T: Element> {
    Classes(PyReadonlyArray1<'py, u32>),
    Values(PyReadonlyArray2<'py, T>),
}

impl<'py, T: Element + Real> BorrowedTargets<'py, T> {
    pub(super) fn borrow(name: &str, y: &Bound<'py, PyAny>, loss: LossKind) -> PyResult<Self> {
        Ok(if loss.has_values() {
            Self::Values(matrix(name, y)?)
        } else {
            Self::Classes(vector(name, y, "a contiguous 1-d array of uint32 class indices")?)
        })
    }

    pub(super) fn view(&self) -> PyResult<Targets<'_, T>> {
        Ok(match self {
            Self::Classes(classes) => Targets::Classes(classes.as_slice().map_err(|_| {
                PyTypeError::new_err("class indices must be contiguous, got an array with gaps")
            })?),
            Self::Values(values) => Targets::Values(values.as_array()),
        })
    }
}

impl FitResult {
    fn new<T: Real + Element>(py: Python<'_>, solution: Solution<T>, interrupted: bool) -> PyResult<Self> {
        let activations = solution.network.activations.iter().map(ToString::to_string).collect();
        let history = PyDict::new(py);
        for (name, values) in solution.history.into_columns() {
            history.set_item(name, values)?;
        }
        let (coefs, intercepts) = into_lists(py, solution.network)?;
        Ok(Self {
            coefs,
            intercepts,
            activations,
            loss_curve: solution.loss_curve,
            validation_scores: solution.validation_scores,
            history: history.unbind(),
            n_iter: solution.n_iter,
            n_components: solution.n_components,
            n_retries: solution.n_retries,
            status: if interrupted { Status::Interrupted } else { solution.status }.name(),
        })
    }
}
