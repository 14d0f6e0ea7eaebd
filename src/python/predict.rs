//! Forward passes and checks.

use super::arrays::{Inputs, Tables, network};
use super::runner;
use crate::linalg::Threads;
use crate::loss::LossKind;
use crate::network::Network;
use crate::problem;
use crate::real::Real;
use crate::rows::{Rows, first_non_finite as first_non_finite_of};
use numpy::{Element, IntoPyArray};
use pyo3::prelude::*;

/// Multiply-adds below which a thread pool costs more than it saves.
const WORTH_SHARING: usize = 1 << 22;

#[pyfunction]
pub fn decision_function<'py>(
    x: &Bound<'py, PyAny>,
    coefs: Vec<Bound<'py, PyAny>>,
    intercepts: Vec<Bound<'py, PyAny>>,
    activations: Vec<String>,
    n_threads: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let py = x.py();
    let kinds = super::arrays::activations(&activations)?;
    match Tables::borrow("X", x)? {
        Tables::F32(table) => logits(py, table.view()?, &network(&coefs, &intercepts, &kinds)?, n_threads),
        Tables::F64(table) => logits(py, table.view()?, &network(&coefs, &intercepts, &kinds)?, n_threads),
    }
}

fn logits<'py, T: Real + Element>(
    py: Python<'py>,
    x: Rows<'_, T>,
    network: &Network<T>,
    n_threads: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let size: usize = network.coefs.iter().map(|coef| coef.len()).sum();
    let work = size.saturating_mul(x.nrows());
    let logits = if n_threads > 1 && work >= WORTH_SHARING {
        let run = |_: &mut runner::Bridge<'_>| network.decision_function(x, Threads::All);
        let (logits, exception) = runner::run(py, n_threads, &runner::Listeners::default(), run)?;
        exception.map_or(Ok(logits), Err)?
    } else {
        py.detach(|| network.decision_function(x, Threads::One))?
    };
    Ok(logits.into_pyarray(py).into_any())
}

#[pyfunction]
pub fn first_non_finite(py: Python<'_>, x: &Bound<'_, PyAny>) -> PyResult<Option<(usize, usize)>> {
    Ok(match Inputs::borrow("X", x)? {
        Inputs::F32(array) => {
            let x = array.as_array();
            py.detach(|| first_non_finite_of(x, Threads::One))
        }
        Inputs::F64(array) => {
            let x = array.as_array();
            py.detach(|| first_non_finite_of(x, Threads::One))
        }
    })
}

#[pyfunction]
pub fn inverse_link(loss: &str) -> PyResult<&'static str> {
    Ok(LossKind::parse_regression(loss)?.inverse_link())
}

#[pyfunction]
pub fn check_targets(y: &Bound<'_, PyAny>, loss: &str) -> PyResult<()> {
    let loss = LossKind::parse_regression(loss)?;
    match Inputs::borrow("y", y)? {
        Inputs::F32(array) => problem::check_values(array.as_array(), loss)?,
        Inputs::F64(array) => problem::check_values(array.as_array(), loss)?,
    }
    Ok(())
}
