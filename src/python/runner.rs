//! The one place where the interpreter is released and a thread pool is made.
//!
//! A pool lives as long as one call. It costs some tens of microseconds, and a forked child
//! process never inherits a pool whose threads did not survive the fork.
//!
//! Work runs on a thread of the pool, while the calling thread, the only one on which Python
//! handles signals, waits for reports and looks for Ctrl-C.

use crate::error::{Error, Result};
use crate::solver::{Control, PassReport};
use pyo3::prelude::*;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How often the calling thread looks for signals.
const POLL: Duration = Duration::from_millis(20);

/// The solver's end of the line.
pub struct Bridge<'a> {
    reports: Sender<PassReport>,
    stop: &'a AtomicBool,
}

impl Control for Bridge<'_> {
    fn stop_requested(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
    fn pass_done(&mut self, report: &PassReport) {
        // A receiver that is gone has stopped listening; the fit goes on.
        let _ = self.reports.send(*report);
    }
}

/// Runs `work` on a new pool, without the interpreter; `on_pass` runs with it after every pass.
///
/// The first exception of a signal handler or of `on_pass` stops the work and is returned beside
/// its result.
pub fn run<R: Send>(
    py: Python<'_>,
    threads: usize,
    on_pass: impl Fn(Python<'_>, &PassReport) -> PyResult<()> + Sync,
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
        let (reports, inbox) = channel();
        let mut exception = None;
        pool.in_place_scope(|scope| {
            let mut bridge = Bridge { reports, stop: &stop };
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
                    // Reports that were on their way when an exception came.
                    Ok(_) if exception.is_some() => continue,
                    Ok(report) => Python::attach(|py| py.check_signals().and_then(|()| on_pass(py, &report))),
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
