//! Time for training: how many steps still fit into it.

use std::time::Instant;

/// Steps after which their mean time counts: the first ones have more metrics to refresh.
const TRIAL_STEPS: usize = 16;
/// Share of the time after which it counts in any case.
const TRIAL_SHARE: f64 = 0.1;

/// When a run has to end.
#[derive(Debug)]
pub(super) struct Deadline {
    clock: Instant,
    /// Seconds on that clock.
    limit: Option<f64>,
    /// When the first step began.
    began: f64,
}

impl Deadline {
    /// To be made when the preparation is over.
    pub fn new(clock: Instant, limit: Option<f64>) -> Self {
        Self { clock, limit, began: clock.elapsed().as_secs_f64() }
    }

    /// Steps that fit into the time that is left after so many, at least one in all; `None` without a
    /// limit, or when it is too early to tell.
    pub fn steps_left(&self, done: usize) -> Option<usize> {
        let limit = self.limit?;
        let now = self.clock.elapsed().as_secs_f64();
        steps_left(done, self.began, now, limit)
    }

    /// Whether the time is up.
    pub fn is_over(&self) -> bool {
        self.limit.is_some_and(|limit| self.clock.elapsed().as_secs_f64() >= limit)
    }
}

fn steps_left(done: usize, began: f64, now: f64, limit: f64) -> Option<usize> {
    if done == 0 || (now < TRIAL_SHARE * limit && done < TRIAL_STEPS) {
        return None;
    }
    let each = ((now - began) / done as f64).max(f64::MIN_POSITIVE);
    Some(((limit - now) / each).max(0.0) as usize)
}

#[cfg(test)]
mod tests {
    use super::steps_left;

    #[test]
    fn steps_fill_the_time_that_is_left() {
        // 20 steps in 2 seconds after 1 of preparation: 0.1 seconds each, 7 left.
        assert_eq!(steps_left(20, 1.0, 3.0, 10.0), Some(70));
        assert_eq!(steps_left(20, 1.0, 10.0, 10.0), Some(0));
        assert_eq!(steps_left(20, 1.0, 12.0, 10.0), Some(0));
    }

    #[test]
    fn one_step_is_always_made() {
        assert_eq!(steps_left(0, 5.0, 5.0, 1.0), None);
        assert_eq!(steps_left(1, 5.0, 6.0, 1.0), Some(0));
    }

    #[test]
    fn the_first_steps_tell_little() {
        assert_eq!(steps_left(2, 0.0, 0.2, 10.0), None);
        assert_eq!(steps_left(2, 0.0, 2.0, 10.0), Some(8));
        assert_eq!(steps_left(16, 0.0, 0.2, 10.0), Some(784));
    }
}
