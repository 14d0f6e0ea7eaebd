//! The one place where the interpreter is released and a thread pool is made.
//!
//! A pool lives as long as one call. It costs some tens of microseconds, and a forked child
//! process never inherits a pool whose threads did not survive the fork.
//!
//! Work runs on a thread of the pool, while the calling thread, the only one on which Python
//! handles signals, calls the listeners when the work asks for it and looks for Ctrl-C.

use super::arrays::into_lists;
use crate::error::{Error, Result};
use crate::network::Network;
use crate::real::Real;
use crate::solver::{Control, PassReport};
use numpy::Element;
use pyo3::prelude::*;
use std::any::Any;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How often the calling thread looks for signals.
const POLL: Duration = Duration::from_millis(20);

/// Python functions that hear of a fit.
#[derive(Default)]
pub struct Listeners {
    /// Called after every pass; ends the fit there when it returns true.
    pub callback: Option<Py<PyAny>>,
    /// Whether it gets the weights.
    pub with_weights: bool,
    /// Called with the weights of every pass; returns their score on the validation data.
    pub scorer: Option<Py<PyAny>>,
}

/// What the solver has the calling thread do.
type Job<'a> = Box<dyn FnOnce(Python<'_>) -> PyResult<()> + Send + 'a>;

/// The solver's end of the line.
pub struct Bridge<'a> {
    jobs: Sender<Job<'a>>,
    stop: &'a AtomicBool,
    listeners: &'a Listeners,
}

impl<'a> Bridge<'a> {
    /// Whether an exception has come.
    pub fn is_interrupted(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Asks the calling thread and waits for the answer; `None` after an exception.
    fn ask<R: Send + 'a>(&self, question: impl FnOnce(Python<'_>) -> PyResult<R> + Send + 'a) -> Option<R> {
        let (sender, answer) = channel();
        let job: Job<'a> = Box::new(move |py| {
            // The solver waits for it, unless it panicked.
            let _ = sender.send(question(py)?);
            Ok(())
        });
        self.jobs.send(job).ok()?;
        answer.recv().ok()
    }
}

impl<T: Real + Element> Control<T> for Bridge<'_> {
    fn stop_requested(&self) -> bool {
        self.is_interrupted()
    }

    fn pass_done(
        &mut self,
        report: &PassReport,
        network: &dyn Fn() -> Result<Network<T>>,
    ) -> ControlFlow<()> {
        let Some(callback) = &self.listeners.callback else { return ControlFlow::Continue(()) };
        let (report, network) = (*report, self.listeners.with_weights.then(network));
        let stop = self.ask(move |py| {
            let PassReport { pass, passes, loss, validation_score, seconds } = report;
            let weights = network.transpose()?.map(|network| weights(py, network)).transpose()?;
            let answer = callback.call1(py, (pass, loss, validation_score, seconds, passes, weights))?;
            answer.is_truthy(py)
        });
        if stop.unwrap_or(true) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn score(&mut self, network: Network<T>) -> Option<f64> {
        let scorer = self.listeners.scorer.as_ref()?;
        self.ask(move |py| scorer.call1(py, (weights(py, network)?,))?.extract(py))
    }
}

/// coefs, intercepts, activations.
type Weights = (Py<PyAny>, Py<PyAny>, Vec<String>);

fn weights<T: Real + Element>(py: Python<'_>, network: Network<T>) -> PyResult<Weights> {
    let activations = network.activations.iter().map(ToString::to_string).collect();
    let (coefs, intercepts) = into_lists(py, network)?;
    Ok((coefs.into_any(), intercepts.into_any(), activations))
}

/// Runs `work` on a new pool, without the interpreter; `listeners` run with it, on this thread.
///
/// The first exception of a signal handler or of a listener stops the work and is returned beside
/// its result.
pub fn run<R: Send>(
    py: Python<'_>,
    threads: usize,
    listeners: &Listeners,
    work: impl FnOnce(&mut Bridge<'_>) -> Result<R> + Send,
) -> PyResult<(R, Option<PyErr>)> {
    py.detach(|| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("liftnet-{i}"))
            .build()
            .map_err(|error| Error::Internal(format!("cannot start {threads} threads: {error}")))?;
        let stop = AtomicBool::new(false);
        let outcome = Mutex::new(Err(Error::Internal("the solver ended without a result".into())));
        let (jobs, inbox) = channel::<Job<'_>>();
        let mut exception = None;
        pool.in_place_scope(|scope| {
            let mut bridge = Bridge { jobs, stop: &stop, listeners };
            let outcome = &outcome;
            scope.spawn(move |_| {
                let result = catch_unwind(AssertUnwindSafe(|| work(&mut bridge)))
                    .unwrap_or_else(|panic| Err(Error::Internal(panic_message(&*panic))));
                if let Ok(mut slot) = outcome.lock() {
                    *slot = result;
                }
            });
            loop {
                let answer = match inbox.recv_timeout(POLL) {
                    // Dropped: who asked hears of that.
                    Ok(_) if exception.is_some() => continue,
                    Ok(job) => Python::attach(|py| py.check_signals().and_then(|()| job(py))),
                    Err(RecvTimeoutError::Timeout) => Python::attach(|py| py.check_signals()),
                    Err(RecvTimeoutError::Disconnected) => break,
                };
                if let Err(error) = answer {
                    stop.store(true, Ordering::Relaxed);
                    exception.get_or_insert(error);
                }
            }
        });
        let result =
            outcome.into_inner().unwrap_or_else(|_| Err(Error::Internal("a lock was poisoned".into())));
        Ok((result?, exception))
    })
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    if let Some(message) = panic.downcast_ref::<&str>() {
        (*message).to_owned()
    } else if let Some(message) = panic.downcast_ref::<String>() {
        message.clone()
    } else {
        "unknown panic".into()
    }
}
