//! What a solver tells its caller, and what the caller may answer.

use crate::error::Result;
use crate::network::Network;
use std::ops::ControlFlow;

/// Why training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// All passes were made.
    MaxIter,
    /// The loss or the validation score stopped improving.
    Converged,
    /// The time was up.
    MaxTime,
    /// The caller asked to stop; the weights are those of that moment.
    Interrupted,
    /// The caller asked to end after a pass.
    Callback,
}

impl Status {
    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Status::MaxIter => "max_iter",
            Status::Converged => "converged",
            Status::MaxTime => "max_time",
            Status::Interrupted => "interrupted",
            Status::Callback => "callback",
        }
    }
}

/// One finished pass over the data.
#[derive(Debug, Clone, Copy)]
pub struct PassReport {
    /// From 1.
    pub pass: usize,
    /// Mean training loss over the pass, each batch before its step, plus the penalty.
    pub loss: f64,
    /// Passes that the run will have, if nothing else happens.
    pub passes: usize,
    /// Score on the validation data, if there are any.
    pub validation_score: Option<f64>,
    /// Since the start of the fit.
    pub seconds: f64,
}

/// Answers of the caller to a running solver.
pub trait Control<T> {
    /// Asked after every batch: stop now?
    fn stop_requested(&self) -> bool;

    /// Told after every pass, of a network that is made when it is asked for; a break ends the run
    /// there.
    fn pass_done(&mut self, report: &PassReport, network: &dyn Fn() -> Result<Network<T>>)
    -> ControlFlow<()>;

    /// The caller's own score of a network on the validation data, where that is what counts
    /// ([`Merit::Own`](crate::spec::Merit::Own)); `None` interrupts the run.
    fn score(&mut self, _network: Network<T>) -> Option<f64> {
        None
    }
}

/// Never stops, listens to nothing.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl<T> Control<T> for Silent {
    fn stop_requested(&self) -> bool {
        false
    }
    fn pass_done(
        &mut self,
        _report: &PassReport,
        _network: &dyn Fn() -> Result<Network<T>>,
    ) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}
