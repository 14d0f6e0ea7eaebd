//! When and how far to step: the rate of the weight blocks, the refreshes of their metrics.

use crate::spec::Options;

/// Share of the first pass over which the rate rises to its start value: random weights have no
/// metric yet worth a full step.
const WARM_UP: f64 = 0.25;

/// The least number of steps of that rise.
const WARM_UP_STEPS: f64 = 10.0;

/// Steps of that rise in a stream, whose length is not known.
const STREAM_WARM_UP: f64 = 50.0;

/// Falls linearly to 0 over the run; metrics are refreshed at steps 0, 1, 2, 4, ..., then once a
/// pass.
#[derive(Debug)]
pub(super) struct Schedule {
    top: f64,
    step: usize,
    steps_per_pass: usize,
    warm_up: f64,
    /// The rate falls from `from` times `top` at step `start` to 0 at step `end`.
    from: f64,
    start: usize,
    end: usize,
    /// The end that the run has without a limit of time.
    planned: usize,
    next_refresh: usize,
    /// Steps of a stream before this one, whose rate is constant.
    stream: Option<usize>,
    /// Steps over which sets that are not convex are tightened, and noise grows.
    ramp: usize,
}

impl Schedule {
    pub fn new(options: &Options, n_samples: usize) -> Self {
        let steps_per_pass = n_samples.div_ceil(options.batch_size);
        Self {
            top: options.learning_rate,
            step: 0,
            steps_per_pass,
            warm_up: (WARM_UP * steps_per_pass as f64).max(WARM_UP_STEPS),
            from: 1.0,
            start: 0,
            end: steps_per_pass * options.max_iter,
            planned: steps_per_pass * options.max_iter,
            next_refresh: 0,
            stream: None,
            ramp: steps_per_pass * options.max_iter / 2,
        }
    }

    /// For one pass over a chunk of a stream: a constant rate, after `before` steps on other chunks.
    pub fn steady(options: &Options, n_samples: usize, before: usize) -> Self {
        let schedule = Self::new(options, n_samples);
        Self { stream: Some(before), warm_up: STREAM_WARM_UP, ..schedule }
    }

    /// How far the sets that are not convex should be tightened, and the share that the noise has of its
    /// radius, from 0 to 1: over the first half of the run.
    pub fn tightness(&self) -> f64 {
        if self.step < self.ramp { self.step as f64 / self.ramp as f64 } else { 1.0 }
    }

    /// Has the sets tight, and the noise full, from now on.
    pub fn skip_tightening(&mut self) {
        self.ramp = 0;
    }

    /// η of the current step.
    pub fn rate(&self) -> f64 {
        let steps = self.step + self.stream.unwrap_or(0) + 1;
        let rise = (steps as f64 / self.warm_up).min(1.0);
        self.top * rise * self.level()
    }

    fn level(&self) -> f64 {
        if self.stream.is_some() {
            return 1.0;
        }
        let done = (self.step - self.start) as f64 / (self.end - self.start).max(1) as f64;
        self.from * (1.0 - done).max(0.0)
    }

    /// Batches in a pass.
    pub fn steps_per_pass(&self) -> usize {
        self.steps_per_pass
    }

    /// Goes on to the next step.
    pub fn advance(&mut self) {
        self.step += 1;
    }

    /// True when the metrics should be refreshed before this step; asked once a step.
    pub fn refresh_due(&mut self) -> bool {
        let due = self.step >= self.next_refresh;
        if due {
            self.next_refresh = self.step + self.step.clamp(1, self.steps_per_pass);
        }
        due
    }

    /// Halves the rate for the rest of the run.
    pub fn halve(&mut self) {
        self.top *= 0.5;
    }

    /// Lets the rate fall to 0 within `passes` passes, if it would not sooner.
    pub fn wind_down(&mut self, passes: usize) {
        let end = self.step + passes * self.steps_per_pass;
        self.planned = self.planned.min(end);
        if end < self.end {
            (self.from, self.start, self.end) = (self.level(), self.step, end);
        }
    }

    /// Lets the rate fall to 0 within `steps` steps where the run would take longer; the last call
    /// counts.
    pub fn end_within(&mut self, steps: usize) {
        let end = self.planned.min(self.step.saturating_add(steps));
        if end != self.end {
            (self.from, self.start, self.end) = (self.level(), self.step, end);
            self.ramp = self.ramp.min(end / 2);
        }
    }

    /// Whether a limit of time ends the run before all of its steps.
    pub fn is_cut_short(&self) -> bool {
        self.end < self.planned
    }

    /// Steps made.
    pub fn steps(&self) -> usize {
        self.step
    }

    /// Passes of the whole run as it is planned now.
    pub fn passes(&self) -> usize {
        self.end.div_ceil(self.steps_per_pass)
    }

    /// True when the rate has reached 0.
    pub fn finished(&self) -> bool {
        self.step >= self.end
    }
}
