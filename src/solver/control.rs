//! What a solver tells its caller, and what the caller may answer.

/// Why training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// All passes were made.
    MaxIter,
    /// The loss or the validation score stopped improving.
    Converged,
    /// The caller asked to stop; the weights are those of that moment.
    Interrupted,
}

impl Status {
    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Status::MaxIter => "max_iter",
            Status::Converged => "converged",
            Status::Interrupted => "interrupted",
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
    /// Mean score on the validation data, if there are any.
    pub validation_score: Option<f64>,
    /// Since the start of the fit.
    pub seconds: f64,
}

/// Answers of the caller to a running solver.
pub trait Control {
    /// Asked after every batch: stop now?
    fn stop_requested(&self) -> bool;

    /// Told after every pass.
    fn pass_done(&mut self, report: &PassReport);
}

/// Never stops, listens to nothing.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Control for Silent {
    fn stop_requested(&self) -> bool {
        false
    }
    fn pass_done(&mut self, _report: &PassReport) {}
}
