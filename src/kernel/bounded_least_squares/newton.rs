//! Projected Newton steps (Bertsekas 1982) for one right side after the other: they descend where
//! exchanges cycle.

use super::free_system::FreeSystem;
use super::{Bounds, Problem};
use crate::kernel::{Report, Stopping};
use crate::linalg::{axpy, dot};
use crate::real::Real;
use ndarray::{ArrayView1, ArrayViewMut1};

/// Steps in the units of the scaled G.
pub(super) struct Newton<'p, T> {
    problem: &'p Problem<T>,
    gradient: Vec<T>,
    system: FreeSystem<T>,
}

impl<'p, T: Real> Newton<'p, T> {
    pub(super) fn new(problem: &'p Problem<T>) -> Self {
        Self { problem, gradient: Vec::new(), system: FreeSystem::new() }
    }

    /// From a point `x` between the bounds, after `n_iter` iterations of another kind.
    pub(super) fn solve(
        &mut self,
        mut x: ArrayViewMut1<'_, T>,
        c: ArrayView1<'_, T>,
        n_iter: usize,
        stopping: Stopping<'_>,
    ) -> Report {
        let (mut solution, linear) = (x.to_vec(), c.to_vec());
        let n_iter = self.descend(&mut solution, &linear, n_iter, stopping);
        let residual = self.residual(&solution, &linear);
        x.assign(&ArrayView1::from(&solution));
        Report { n_iter, residual, converged: residual <= stopping.tol }
    }

    /// Newton steps on the free unknowns along the projection of their arc, which lower the
    /// objective, with sweeps between them. Ends at the tolerance, and where the last step was exact
    /// and only rounding is left.
    fn descend(&mut self, x: &mut [T], c: &[T], mut n_iter: usize, stopping: Stopping<'_>) -> usize {
        let mut value = self.evaluate(x, c);
        let mut exact = false;
        loop {
            let done = self.residual(x, c) <= stopping.tol;
            self.find_free(x);
            let rounding = self.system.free.is_empty() || (exact && self.system.is_factored());
            if done || rounding || n_iter >= stopping.max_iter || (stopping.interrupted)() {
                return n_iter;
            }
            n_iter += 1;
            (value, exact) = self.step(x, c, value);
            if !exact {
                self.sweep(x);
                value = self.evaluate(x, c);
            }
        }
    }

    /// Gradient G x − c, kept; returns ½ xᵀG x − cᵀx.
    fn evaluate(&mut self, x: &[T], c: &[T]) -> T {
        self.gradient.clear();
        self.gradient.extend(c.iter().map(|&c| -c));
        for (&x, row) in x.iter().zip(self.problem.gram.rows()) {
            if let (true, Some(row)) = (x != T::zero(), row.as_slice()) {
                axpy(x, row, &mut self.gradient);
            }
        }
        T::of(0.5) * (dot(x, &self.gradient) - dot(x, c))
    }

    /// The unknowns that are not held at a bound by their gradient.
    fn find_free(&mut self, x: &[T]) {
        let (problem, gradient) = (self.problem, &self.gradient);
        let Bounds { lower, upper } = &problem.bounds;
        self.system.choose(x.len(), |i| {
            let (x, g) = (x[i], gradient[i]);
            problem.is_curved(i)
                && (x > lower[i] || g < T::zero())
                && (x < upper[i] || g > T::zero())
                && lower[i] < upper[i]
        });
    }

    fn residual(&self, x: &[T], c: &[T]) -> f64 {
        self.problem.residual(x.into(), c.into(), (&self.gradient).into())
    }

    /// A Newton step along its projected arc, halved until the objective falls. Returns the new
    /// objective and whether no bound interfered.
    fn step(&mut self, x: &mut [T], c: &[T], value: T) -> (T, bool) {
        self.system.solve(self.problem, (&self.gradient).into());
        let before: Vec<T> = self.system.free.iter().map(|&i| x[i]).collect();
        let slack = T::of(8.0) * T::epsilon() * (value.abs() + dot(x, c).abs());
        let mut t = T::one();
        while t > T::epsilon() {
            let inside = self.advance(x, &before, t);
            let after = self.evaluate(x, c);
            if after <= value + slack {
                return (after, inside && t == T::one());
            }
            t *= T::of(0.5);
        }
        self.advance(x, &before, T::zero());
        (self.evaluate(x, c), false)
    }

    /// x ← `before` + t step on the free unknowns, moved into the bounds; tells whether it was
    /// inside.
    fn advance(&self, x: &mut [T], before: &[T], t: T) -> bool {
        let Bounds { lower, upper } = &self.problem.bounds;
        let mut inside = true;
        for ((&i, &before), &step) in self.system.free.iter().zip(before).zip(&self.system.step) {
            let target = before + t * step;
            x[i] = target.max(lower[i]).min(upper[i]);
            inside &= x[i] == target;
        }
        inside
    }

    /// One sweep of coordinate descent, which frees and holds unknowns one at a time.
    fn sweep(&mut self, x: &mut [T]) {
        let Problem { gram, bounds } = self.problem;
        for (i, row) in gram.rows().into_iter().enumerate() {
            let target = bounds.minimiser(i, x[i], self.gradient[i], row[i]);
            if let (true, Some(row)) = (target != x[i], row.as_slice()) {
                axpy(target - x[i], row, &mut self.gradient);
                x[i] = target;
            }
        }
    }
}
