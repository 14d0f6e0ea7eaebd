//! One chunk of a stream: its state comes in and goes out as plain arrays, which Python can pickle.

use super::arrays::{Table, Tables, activations, into_lists, matrix, vector};
use super::fit::{BorrowedTargets, PySpec, SAME, Weights, start_network};
use super::runner::{self, Listeners};
use crate::problem::Problem;
use crate::real::Real;
use crate::solver::{Chunk, FeatureMoments, InputMap, MapParts, Status, Stream, stream as solve};
use crate::spec::{Options, Spec};
use ndarray::Array2;
use numpy::{Element, IntoPyArray, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

/// What is known of the features so far.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct PyMoments<'py> {
    mean: PyReadonlyArray1<'py, f64>,
    variance: PyReadonlyArray1<'py, f64>,
    low: PyReadonlyArray1<'py, f64>,
    high: PyReadonlyArray1<'py, f64>,
    covariance: Option<PyReadonlyArray2<'py, f64>>,
}

/// A stream between two chunks.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct PyState<'py> {
    center: Bound<'py, PyAny>,
    scale: Bound<'py, PyAny>,
    directions: Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)>,
    weights: Vec<Bound<'py, PyAny>>,
    velocities: Vec<Bound<'py, PyAny>>,
    means: Vec<Bound<'py, PyAny>>,
    grams: Vec<Bound<'py, PyAny>>,
    gram_rows: usize,
    activations: Vec<String>,
    steps: usize,
}

impl PyState<'_> {
    fn read<T: Real + Element>(&self) -> PyResult<Stream<f32, T>> {
        let list = |name: &str, arrays: &[Bound<'_, PyAny>]| {
            arrays.iter().map(|array| owned(name, array)).collect::<PyResult<Vec<_>>>()
        };
        let directions = match &self.directions {
            Some((forward, inverse)) => Some((owned("forward", forward)?, owned("inverse", inverse)?)),
            None => None,
        };
        let map = InputMap::from_parts(MapParts {
            center: vector::<T>("center", &self.center, SAME)?.as_array().to_owned(),
            scale: vector::<T>("scale", &self.scale, SAME)?.as_array().to_owned(),
            directions,
        });
        Ok(Stream {
            map: Some(map),
            weights: list("weights", &self.weights)?,
            velocities: list("velocities", &self.velocities)?,
            means: list("means", &self.means)?,
            grams: list("grams", &self.grams)?,
            gram_rows: self.gram_rows,
            activations: activations(&self.activations)?,
            steps: self.steps,
        })
    }
}

fn owned<T: Element + Clone>(name: &str, array: &Bound<'_, PyAny>) -> PyResult<Array2<T>> {
    Ok(matrix(name, array)?.as_array().to_owned())
}

fn write<T: Real + Element>(py: Python<'_>, stream: Stream<f32, T>) -> PyResult<Py<PyDict>> {
    let state = PyDict::new(py);
    let list =
        |arrays: Vec<Array2<f32>>| PyList::new(py, arrays.into_iter().map(|array| array.into_pyarray(py)));
    if let Some(map) = stream.map {
        let MapParts { center, scale, directions } = map.parts();
        state.set_item("center", center.into_pyarray(py))?;
        state.set_item("scale", scale.into_pyarray(py))?;
        let directions =
            directions.map(|(forward, inverse)| (forward.into_pyarray(py), inverse.into_pyarray(py)));
        state.set_item("directions", directions)?;
    }
    state.set_item("weights", list(stream.weights)?)?;
    state.set_item("velocities", list(stream.velocities)?)?;
    state.set_item("means", list(stream.means)?)?;
    state.set_item("grams", list(stream.grams)?)?;
    state.set_item("gram_rows", stream.gram_rows)?;
    let names: Vec<String> = stream.activations.iter().map(ToString::to_string).collect();
    state.set_item("activations", names)?;
    state.set_item("steps", stream.steps)?;
    Ok(state.unbind())
}

/// What a chunk gave.
#[pyclass(frozen, get_all, module = "liftnet._core")]
pub struct StreamResult {
    coefs: Py<PyList>,
    intercepts: Py<PyList>,
    activations: Vec<String>,
    loss: f64,
    n_components: usize,
    status: &'static str,
    state: Py<PyDict>,
}

#[pyfunction]
#[pyo3(signature = (
    x, y, n_outputs, options, moments, n_seen, refit, *, state=None, sample_weight=None, start=None,
    outputs=None, rate_share=1.0
))]
#[allow(clippy::too_many_arguments)] // one for each of Python's
pub fn stream<'py>(
    x: &Bound<'py, PyAny>,
    y: Bound<'py, PyAny>,
    n_outputs: usize,
    options: &Bound<'py, PyDict>,
    moments: PyMoments<'py>,
    n_seen: usize,
    refit: bool,
    state: Option<PyState<'py>>,
    sample_weight: Option<Bound<'py, PyAny>>,
    start: Option<Weights<'py>>,
    outputs: Option<(Vec<f64>, Vec<f64>)>,
    rate_share: f64,
) -> PyResult<StreamResult> {
    let spec = options.extract::<PySpec>()?.spec()?;
    let request = Request {
        y,
        n_outputs,
        spec,
        moments,
        n_seen,
        refit,
        state,
        sample_weight,
        start,
        outputs,
        rate_share,
    };
    match Tables::borrow("X", x)? {
        Tables::F32(table) => request.solve(x.py(), &table),
        Tables::F64(table) => request.solve(x.py(), &table),
    }
}

/// All but X, of whose precision the rest must be.
struct Request<'py> {
    y: Bound<'py, PyAny>,
    n_outputs: usize,
    spec: Spec,
    moments: PyMoments<'py>,
    n_seen: usize,
    refit: bool,
    state: Option<PyState<'py>>,
    sample_weight: Option<Bound<'py, PyAny>>,
    start: Option<Weights<'py>>,
    outputs: Option<(Vec<f64>, Vec<f64>)>,
    rate_share: f64,
}

impl<'py> Request<'py> {
    fn solve<T: Real + Element>(self, py: Python<'py>, x: &Table<'py, T>) -> PyResult<StreamResult> {
        let Self {
            y,
            n_outputs,
            spec,
            moments,
            n_seen,
            refit,
            state,
            sample_weight,
            start,
            outputs,
            rate_share,
        } = self;
        let (loss, threads) = (spec.loss, spec.threads);
        let x = x.view()?;
        let y = BorrowedTargets::<T>::borrow("y", &y, loss)?;
        let targets = y.view()?;
        let sample_weight =
            sample_weight.map(|weights| vector::<T>("sample_weight", &weights, SAME)).transpose()?;
        let weights = sample_weight.as_ref().map(|weights| weights.as_array());
        let start = start_network::<T>(start, &spec)?;
        let mut stream = state.map_or_else(|| Ok(Stream::new()), |state| state.read::<T>())?;
        let moments = FeatureMoments {
            mean: moments.mean.as_array(),
            variance: moments.variance.as_array(),
            low: moments.low.as_array(),
            high: moments.high.as_array(),
            covariance: moments.covariance.as_ref().map(|covariance| covariance.as_array()),
        };
        let (chunk, exception) = runner::run(py, threads, &Listeners::default(), |control| {
            let problem = Problem::new(x, targets, weights, n_outputs, loss)?;
            let options = spec.check(n_seen.max(x.nrows()), x.ncols())?;
            let (output_gains, output_offsets) = outputs.unzip();
            let learning_rate = rate_share * options.learning_rate;
            let options = Options { output_gains, output_offsets, learning_rate, ..options };
            solve(&problem, &options, &moments, refit, start.as_ref(), &mut stream, control)
        })?;
        let interrupted = match exception {
            Some(error) if error.is_instance_of::<PyKeyboardInterrupt>(py) => true,
            Some(error) => return Err(error),
            None => false,
        };
        let Chunk { network, loss, n_components, status } = chunk;
        let activations = network.activations.iter().map(ToString::to_string).collect();
        let (coefs, intercepts) = into_lists(py, network)?;
        let status = if interrupted { Status::Interrupted } else { status }.name();
        Ok(StreamResult {
            coefs,
            intercepts,
            activations,
            loss,
            n_components,
            status,
            state: write(py, stream)?,
        })
    }
}
