//! The equations of the free unknowns, all others being held.

use super::Problem;
use crate::linalg::{Threads, axpy, factor_upper, solve_upper_vector};
use crate::real::Real;
use ndarray::ArrayView1;

/// Repeated solutions that take the damping out again: each leaves a share of √ε / λ, λ being the
/// least eigenvalue that is not zero.
const REFINEMENTS: usize = 3;

/// Free unknowns of one right side, and the factor of their rows and columns of G.
#[derive(Debug)]
pub(super) struct FreeSystem<T> {
    /// Indices of the free unknowns, ascending.
    pub(super) free: Vec<usize>,
    /// What [`FreeSystem::solve`] found, one entry for each of them.
    pub(super) step: Vec<T>,
    /// Factor of the rows and columns `factored` of G, at the beginning of this buffer.
    factor: Vec<T>,
    factored: Vec<usize>,
    /// Whether the factor is that of G + √ε I, some of its columns being dependent.
    damped: bool,
}

impl<T: Real> FreeSystem<T> {
    pub(super) fn new() -> Self {
        Self { free: Vec::new(), step: Vec::new(), factor: Vec::new(), factored: Vec::new(), damped: false }
    }

    /// Frees the unknowns of `0..n` that the predicate accepts.
    pub(super) fn choose(&mut self, n: usize, is_free: impl Fn(usize) -> bool) {
        self.free.clear();
        self.free.extend((0..n).filter(|&i| is_free(i)));
    }

    /// Whether the last solution was for the same free unknowns.
    pub(super) fn is_factored(&self) -> bool {
        self.free == self.factored
    }

    /// The step to the minimum over the free unknowns, without bounds; where their columns depend on
    /// each other, nearly the shortest such step, which leaves most of them between the bounds.
    pub(super) fn solve(&mut self, problem: &Problem<T>, gradient: ArrayView1<'_, T>) {
        self.factor(problem);
        let factor = &self.factor[..self.free.len().pow(2)];
        self.step.clear();
        self.step.extend(self.free.iter().map(|&i| -gradient[i]));
        solve_upper_vector(factor, &mut self.step);
        if self.damped {
            for _ in 0..REFINEMENTS {
                let mut left = gradient.to_owned();
                for (&i, &step) in self.free.iter().zip(&self.step) {
                    left.scaled_add(step, &problem.gram.row(i));
                }
                let mut more: Vec<T> = self.free.iter().map(|&i| -left[i]).collect();
                solve_upper_vector(factor, &mut more);
                axpy(T::one(), &more, &mut self.step);
            }
        }
    }

    /// Factors the free rows and columns of G, unless they are those of the last time. Dependent
    /// ones are damped.
    fn factor(&mut self, problem: &Problem<T>) {
        if self.is_factored() {
            return;
        }
        let k = self.free.len();
        if self.factor.len() < k * k {
            self.factor.resize(k * k, T::zero());
        }
        // Rounding of a Gram matrix: pivots below it belong to dependent columns.
        let tolerance = T::of(4.0 * (problem.bounds.len() as f64).sqrt()) * T::epsilon();
        self.copy(problem, T::zero());
        self.damped = factor_upper(&mut self.factor[..k * k], k, tolerance, Threads::One) > 0;
        if self.damped {
            self.copy(problem, T::epsilon().sqrt());
            factor_upper(&mut self.factor[..k * k], k, tolerance, Threads::One);
        }
        self.factored.clone_from(&self.free);
    }

    /// The free rows and columns of G, upper triangle, with something added to the diagonal.
    fn copy(&mut self, problem: &Problem<T>, damping: T) {
        let k = self.free.len();
        for (a, &i) in self.free.iter().enumerate() {
            let row = problem.gram.row(i);
            for (b, &j) in self.free.iter().enumerate().skip(a) {
                self.factor[a * k + b] = row[j];
            }
            self.factor[a * k + a] += damping;
        }
    }
}
