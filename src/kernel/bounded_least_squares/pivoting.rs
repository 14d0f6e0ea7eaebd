//! Block principal pivoting (Portugal, Júdice, Vicente 1994; Kim, Park 2011), a tile at a time.
//!
//! An exchange solves for the free unknowns as if there were no bounds, then holds all that left
//! theirs and frees all that their gradient pulls inside. The gradients of all right sides that
//! still have an exchange to make are one product.

use super::free_system::FreeSystem;
use super::newton::Newton;
use super::{Bounds, Problem, Tile, clip, is_bound};
use crate::kernel::{Report, Stopping, swap_rows};
use crate::linalg::{Threads, product};
use crate::real::Real;
use ndarray::{Array2, ArrayView1, Zip, s};

/// Exchanges without a new minimum of violations after which pivoting counts as cycling.
const PATIENCE: usize = 4;

/// Right sides and how far each is; those that are solved swap places with the last unsolved one.
pub(super) struct Pivoting<'p, T> {
    problem: &'p Problem<T>,
    tile: Tile<T>,
    /// The points at the beginning, in the order of the beginning.
    start: Array2<T>,
    /// G x − c, `(n_problems, n_unknowns)`.
    gradient: Array2<T>,
    free: Array2<bool>,
    progress: Vec<Progress>,
    system: FreeSystem<T>,
    /// Unknowns that left their bounds, and the bounds.
    left: Vec<(usize, T)>,
}

/// Of one right side.
struct Progress {
    /// Its row at the beginning.
    origin: usize,
    /// The fewest violations after an exchange.
    fewest: usize,
    patience: usize,
}

impl<'p, T: Real> Pivoting<'p, T> {
    /// From points between the bounds; the unknowns that are not on one begin free.
    pub(super) fn new(problem: &'p Problem<T>, tile: Tile<T>) -> Self {
        let Bounds { lower, upper } = &problem.bounds;
        let free = Array2::from_shape_fn(tile.x.dim(), |(row, i)| {
            problem.is_curved(i) && !is_bound(tile.x[[row, i]], (lower[i], upper[i]))
        });
        let progress = (0..tile.x.nrows())
            .map(|origin| Progress { origin, fewest: usize::MAX, patience: PATIENCE })
            .collect();
        let (start, gradient) = (tile.x.clone(), Array2::zeros(tile.x.raw_dim()));
        let (system, left) = (FreeSystem::new(), Vec::new());
        Self { problem, tile, start, gradient, free, progress, system, left }
    }

    /// Solves every right side and hands its row and its solution to `finish`. Those that cycle,
    /// and those with exchanges left to make at the end, are Newton's, from their start.
    pub(super) fn solve(
        mut self,
        stopping: Stopping<'_>,
        mut finish: impl FnMut(usize, ArrayView1<'_, T>),
    ) -> Report {
        let mut newton = Newton::new(self.problem);
        let mut report = Report::DONE;
        let (mut active, mut n_iter) = (self.progress.len(), 0);
        self.evaluate(active);
        while active > 0 {
            let ended = n_iter == stopping.max_iter || (stopping.interrupted)();
            if !ended {
                n_iter += 1;
                (0..active).for_each(|row| self.exchange(row));
                self.evaluate(active);
            }
            for row in (0..active).rev() {
                let origin = self.progress[row].origin;
                let violations = if ended { usize::MAX } else { self.find_violations(row) };
                if violations == 0 {
                    self.clip(row);
                    let (x, c) = (self.tile.x.row(row), self.tile.c.row(row));
                    let residual = self.problem.residual(x, c, self.gradient.row(row));
                    report = report.and(Report { n_iter, residual, converged: residual <= stopping.tol });
                    finish(origin, x);
                } else if ended || self.is_cycling(row, violations) {
                    let mut x = self.start.row_mut(origin);
                    report = report.and(newton.solve(x.view_mut(), self.tile.c.row(row), n_iter, stopping));
                    finish(origin, x.view());
                } else {
                    continue;
                }
                active -= 1;
                self.swap(row, active);
            }
        }
        report
    }

    /// Gradients of the first rows.
    fn evaluate(&mut self, active: usize) {
        let (x, c) = (self.tile.x.slice(s![..active, ..]), self.tile.c.slice(s![..active, ..]));
        let mut gradient = self.gradient.slice_mut(s![..active, ..]);
        gradient.assign(&c);
        product(T::one(), x, self.problem.gram.view(), -T::one(), gradient, Threads::One);
    }

    /// Moves the free unknowns to where their gradient vanishes.
    fn exchange(&mut self, row: usize) {
        let free = self.free.row(row);
        self.system.choose(free.len(), |i| free[i]);
        self.system.solve(self.problem, self.gradient.row(row));
        let mut x = self.tile.x.row_mut(row);
        for (&i, &step) in self.system.free.iter().zip(&self.system.step) {
            x[i] += step;
        }
    }

    /// Exchanges the unknowns that violate a condition, puts those that left their bounds there,
    /// and returns how many there were.
    fn find_violations(&mut self, row: usize) -> usize {
        let Problem { gram, bounds: Bounds { lower, upper } } = self.problem;
        let (mut x, mut gradient) = (self.tile.x.row_mut(row), self.gradient.row_mut(row));
        // What rounding does to an unknown, in units in which the columns have norm 1.
        let largest = x.iter().chain(self.tile.c.row(row)).fold(T::zero(), |top, v| top.max(v.abs()));
        let slack = T::of(16.0) * T::epsilon() * largest;
        let mut violations = 0;
        for (i, free) in self.free.row_mut(row).iter_mut().enumerate() {
            let (low, high, g) = (lower[i], upper[i], gradient[i]);
            let wrong = if *free {
                let end = clip(x[i], low, high);
                let outside = (x[i] - end).abs() > slack;
                self.left.extend(outside.then_some((i, end)));
                outside
            } else {
                let movable = low < high && self.problem.is_curved(i);
                movable && if x[i] <= low { g < -slack } else { g > slack }
            };
            *free ^= wrong;
            violations += usize::from(wrong);
        }
        for (i, end) in self.left.drain(..) {
            gradient.scaled_add(end - x[i], &gram.row(i));
            x[i] = end;
        }
        violations
    }

    /// Takes what rounding left outside.
    fn clip(&mut self, row: usize) {
        let Bounds { lower, upper } = &self.problem.bounds;
        let mut x = self.tile.x.row_mut(row);
        Zip::from(&mut x).and(lower).and(upper).for_each(|x, &low, &high| *x = clip(*x, low, high));
    }

    /// Whether the number of violations has had no new minimum for too long.
    fn is_cycling(&mut self, row: usize, violations: usize) -> bool {
        let Progress { fewest, patience, .. } = &mut self.progress[row];
        *patience = if violations < *fewest { PATIENCE } else { *patience - 1 };
        *fewest = violations.min(*fewest);
        *patience == 0
    }

    fn swap(&mut self, i: usize, j: usize) {
        for rows in [&mut self.tile.x, &mut self.tile.c, &mut self.gradient] {
            swap_rows(rows, i, j);
        }
        swap_rows(&mut self.free, i, j);
        self.progress.swap(i, j);
    }
}
