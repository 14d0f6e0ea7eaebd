//! Regression with any smooth convex loss, by majorisation in the Gram metric with a memory.
//!
//! ```text
//! min over W, b:  F = mean_i ℓ_i(Wᵀx_i + b) + (α/2)‖W‖²,      the mean weighted by s
//! ```
//!
//! With c a bound of the curvature of all ℓ_i, F lies below its quadratic model with the matrix
//! M = c G + αI, G = mean (x_i, 1)(x_i, 1)ᵀ. M is factored once. The step to the minimum of the model,
//! W − M⁻¹∇F, never raises F (majorise–minimise). It is accelerated by taking M for the initial
//! metric of a limited-memory quasi-Newton method (Liu, Nocedal 1989), which learns where the
//! curvature is below its bound. What that has not solved is finished by Newton steps, themselves
//! solved by conjugate gradients with the quasi-Newton metric for a preconditioner. Neither asks
//! for a second derivative: the curvature along a direction is a difference of gradients. Where a
//! direction does not serve, the majorising step takes over, so that F falls in every iteration.
//!
//! The logits of a direction are computed once, so a line search costs no product with X.

use super::{Report, Stopping, check_weights};
use crate::error::{Error, Result};
use crate::linalg::{Cholesky, Threads, add_upper_gram, mirror, product};
use crate::real::Real;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, s};
use rayon::prelude::*;
use std::collections::VecDeque;

/// Pairs of steps and changes of the gradient that are remembered.
const MEMORY: usize = 20;
/// Quasi-Newton iterations before Newton's method takes over.
const QUASI_NEWTON: usize = 40;
/// Conjugate gradient steps for one Newton step.
const CONJUGATE: usize = 250;
/// Rows of one task: fixed, so that the bits do not depend on the threads.
const ROWS: usize = 256;
/// Rows of one part of a gradient, and parts at a time.
const PART_ROWS: usize = 2048;
const PARTS: usize = 32;
/// Trials of one line search.
const TRIALS: usize = 40;

/// A convex function of each sample's logits.
pub trait LogitLoss<T: Real>: Sync {
    /// Returns ℓ_row and replaces the logits by its gradient.
    fn value_and_gradient(&self, row: usize, logits: &mut [T]) -> f64;

    /// Finite bound of the largest eigenvalue of the Hessian of every ℓ_row; where there is none, a
    /// usual value, and the line search alone sees to the descent.
    fn curvature_bound(&self) -> f64;
}

/// Inputs, weights and penalty, with the factored metric.
#[derive(Debug)]
pub struct SmoothRegression<'a, T> {
    x: ArrayView2<'a, T>,
    /// Sum 1.
    weights: Array1<T>,
    alpha: f64,
    fit_intercept: bool,
    gram: Array2<f64>,
}

/// Coefficients `(n_features, n_outputs)` and intercepts `(n_outputs,)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Affine<T> {
    /// W.
    pub coef: Array2<T>,
    /// b; zeros without an intercept.
    pub intercept: Array1<T>,
}

impl<'a, T: Real> SmoothRegression<'a, T> {
    /// Computes the Gram matrix; uses the current thread pool.
    ///
    /// * `x`: `(n_samples, n_features)`, finite, not empty;
    /// * `sample_weight`: `(n_samples,)`, finite, ≥ 0, not all 0; only ratios count.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Parameter`] for a negative or non-finite `alpha` or
    /// `sample_weight`.
    pub fn new(
        x: ArrayView2<'a, T>,
        sample_weight: Option<ArrayView1<'_, T>>,
        alpha: f64,
        fit_intercept: bool,
    ) -> Result<Self> {
        Self::sampled(x, sample_weight, alpha, fit_intercept, x.nrows())
    }

    /// As [`SmoothRegression::new`], with the Gram matrix estimated from no more than so many rows, evenly
    /// spread: enough for a few steps, as the line search sees to the descent.
    ///
    /// # Errors
    /// As [`SmoothRegression::new`].
    pub fn sampled(
        x: ArrayView2<'a, T>,
        sample_weight: Option<ArrayView1<'_, T>>,
        alpha: f64,
        fit_intercept: bool,
        rows: usize,
    ) -> Result<Self> {
        let n = x.nrows();
        if !(0.0..f64::INFINITY).contains(&alpha) {
            let (name, got) = ("alpha", alpha.to_string());
            return Err(Error::Parameter { name, got, allowed: "finite and not negative".into() });
        }
        let weights = match sample_weight {
            Some(weights) => {
                check_weights(weights, n)?;
                let total: f64 = weights.iter().map(|w| w.f64()).sum();
                weights.mapv(|w| T::of(w.f64() / total))
            }
            None => Array1::from_elem(n, T::of(1.0 / n as f64)),
        };
        let every = n.div_ceil(rows.max(1)).max(1) as isize;
        let (some, their_weights) = (x.slice(s![..;every, ..]), weights.slice(s![..;every]));
        let mut gram = augmented_gram(some, their_weights, fit_intercept);
        let total: f64 = their_weights.iter().map(|w| w.f64()).sum();
        if every > 1 && total > 0.0 {
            gram /= total;
        }
        Ok(Self { x, weights, alpha, fit_intercept, gram })
    }

    /// Minimises, from `start` on; uses the current thread pool.
    ///
    /// The residual is ‖∇F‖ / √(mean ‖∇ℓ_i(0)‖²/c), the norm of the gradient taken in the metric
    /// M⁻¹: at most 1 at W = 0, b = 0, whatever the units of the inputs.
    ///
    /// # Errors
    /// [`Error::Shape`] for a start that does not fit, [`Error::Factorisation`] for inputs whose
    /// Gram matrix overflows.
    pub fn solve(
        &self,
        loss: &dyn LogitLoss<T>,
        start: Affine<T>,
        stopping: Stopping<'_>,
    ) -> Result<(Affine<T>, Report)> {
        let (d, k) = (self.x.ncols(), start.intercept.len());
        if start.coef.dim() != (d, k) {
            let (got, expected) = (start.coef.shape().to_vec(), format!("({d}, {k})"));
            return Err(Error::Shape { argument: "start".into(), got, expected });
        }
        let metric = Metric::new(&self.gram, loss.curvature_bound(), self.alpha, d)?;
        let unit = self.gradient_size(loss, k);
        let mut point = Point::new(self, loss, self.join(&start));
        let mut memory = VecDeque::new();
        let mut n_iter = 0;
        loop {
            let step = metric.solve(&point.gradient);
            let size = inner(&point.gradient, &step).max(0.0).sqrt();
            let residual = if size == 0.0 { 0.0 } else { size / unit };
            let report = Report { n_iter, residual, converged: residual <= stopping.tol };
            let ended = n_iter == stopping.max_iter || (stopping.interrupted)();
            if report.converged || ended {
                return Ok((self.split(&point.w), report));
            }
            n_iter += 1;
            let precondition = |gradient: &Array2<f64>| quasi_newton(&memory, &metric, gradient);
            let direction = match n_iter <= QUASI_NEWTON {
                true => -precondition(&point.gradient),
                // The closer, the more exact, for quadratic convergence in the end.
                false => point.newton(precondition, residual.sqrt().clamp(1e-4, 0.1), stopping),
            };
            let next = point.search(direction).or_else(|| {
                memory.clear();
                point.search(-step)
            });
            let Some(next) = next else {
                // Only rounding is left.
                return Ok((self.split(&point.w), report));
            };
            remember(&mut memory, &point, &next);
            point = next;
        }
    }

    /// Number of columns of the inputs.
    pub fn n_features(&self) -> usize {
        self.x.ncols()
    }

    /// Checks that targets of a shape have one row for each sample.
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn check_rows(&self, argument: &str, shape: &[usize]) -> Result<()> {
        if shape.first() == Some(&self.x.nrows()) {
            return Ok(());
        }
        let expected = format!("{} rows, as X has", self.x.nrows());
        Err(Error::Shape { argument: argument.into(), got: shape.to_vec(), expected })
    }

    /// √(mean ‖∇ℓ_i(0)‖²/c).
    fn gradient_size(&self, loss: &dyn LogitLoss<T>, k: usize) -> f64 {
        let of_chunk = |(chunk, weights): (usize, ArrayView1<'_, T>)| {
            let mut logits = vec![T::zero(); k];
            let squares = weights.iter().enumerate().map(|(i, weight)| {
                logits.fill(T::zero());
                loss.value_and_gradient(chunk * ROWS + i, &mut logits);
                weight.f64() * logits.iter().map(|g| g.f64() * g.f64()).sum::<f64>()
            });
            squares.sum::<f64>()
        };
        let chunks = self.weights.axis_chunks_iter(Axis(0), ROWS).into_par_iter().enumerate();
        let squares: Vec<f64> = chunks.map(of_chunk).collect();
        (squares.iter().sum::<f64>() / loss.curvature_bound()).sqrt()
    }

    /// Coefficients with the intercept as their last row, in double precision.
    fn join(&self, affine: &Affine<T>) -> Array2<f64> {
        let (d, k) = affine.coef.dim();
        let mut w = Array2::zeros((self.gram.nrows(), k));
        w.slice_mut(s![..d, ..]).assign(&affine.coef.mapv(T::f64));
        if self.fit_intercept {
            w.row_mut(d).assign(&affine.intercept.mapv(T::f64));
        }
        w
    }

    fn split(&self, w: &Array2<f64>) -> Affine<T> {
        let d = self.x.ncols();
        let coef = w.slice(s![..d, ..]).mapv(T::of);
        let intercept = match self.fit_intercept {
            true => w.row(d).mapv(T::of),
            false => Array1::zeros(w.ncols()),
        };
        Affine { coef, intercept }
    }

    /// Logits of W, `(n_samples, n_outputs)`.
    fn logits(&self, w: &Array2<f64>) -> Array2<T> {
        let Affine { coef, intercept } = self.split(w);
        let mut logits = Array2::zeros((self.x.nrows(), w.ncols()));
        logits += &intercept;
        product(T::one(), self.x, coef.view(), T::one(), logits.view_mut(), Threads::All);
        logits
    }
}

/// mean (x_i, 1)(x_i, 1)ᵀ, or mean x_i x_iᵀ without an intercept, in double precision.
fn augmented_gram<T: Real>(
    x: ArrayView2<'_, T>,
    weights: ArrayView1<'_, T>,
    fit_intercept: bool,
) -> Array2<f64> {
    const CHUNK: usize = 1024;
    let (n, d) = x.dim();
    let size = d + usize::from(fit_intercept);
    let mut gram = Array2::zeros((size, size));
    for start in (0..n).step_by(CHUNK) {
        let rows = start..(start + CHUNK).min(n);
        let mut chunk = Array2::ones((rows.len(), size));
        chunk
            .slice_mut(s![.., ..d])
            .zip_mut_with(&x.slice(s![rows.clone(), ..]), |to, from| *to = from.f64());
        let roots = weights.slice(s![rows]).mapv(|w| w.f64().sqrt());
        chunk *= &roots.insert_axis(Axis(1));
        add_upper_gram(1.0, chunk.view(), gram.view_mut(), Threads::All);
    }
    mirror(&mut gram);
    gram
}

/// M⁻¹, through the factor of M scaled to unit diagonal.
struct Metric {
    scale: Array1<f64>,
    factor: Cholesky<f64>,
}

impl Metric {
    fn new(gram: &Array2<f64>, curvature: f64, alpha: f64, d: usize) -> Result<Self> {
        let n = gram.nrows();
        let mut m = gram * curvature;
        m.diag_mut().iter_mut().take(d).for_each(|v| *v += alpha);
        let scale = m.diag().mapv(|v| if v > 0.0 { v.sqrt().recip() } else { 1.0 });
        m *= &scale;
        m *= &scale.view().insert_axis(Axis(1));
        // Dependent columns without a penalty still need a definite metric, and zero columns too.
        let damping = 8.0 * n as f64 * f64::EPSILON;
        m.diag_mut().iter_mut().for_each(|v| *v = if *v > 0.0 { *v + damping } else { 1.0 });
        Ok(Self { scale, factor: Cholesky::new(m, Threads::All)? })
    }

    fn solve(&self, gradient: &Array2<f64>) -> Array2<f64> {
        let scale = self.scale.view().insert_axis(Axis(1));
        let mut step = gradient * &scale;
        self.factor.solve(step.view_mut(), Threads::All);
        step *= &scale;
        step
    }
}

/// A place with everything known about it.
struct Point<'p, 'a, T> {
    problem: &'p SmoothRegression<'a, T>,
    loss: &'p dyn LogitLoss<T>,
    w: Array2<f64>,
    logits: Array2<T>,
    value: f64,
    gradient: Array2<f64>,
}

impl<'p, 'a, T: Real> Point<'p, 'a, T> {
    fn new(problem: &'p SmoothRegression<'a, T>, loss: &'p dyn LogitLoss<T>, w: Array2<f64>) -> Self {
        let logits = problem.logits(&w);
        let mut point = Self { problem, loss, value: 0.0, gradient: w.clone(), w, logits };
        let mut slopes = point.logits.clone();
        point.value = point.sum(&mut slopes, None).0 + point.penalty(&point.w);
        point.gradient = point.gradient_from(&slopes, problem.alpha, &point.w);
        point
    }

    /// The place along a direction where F has fallen enough and its slope has flattened (Wolfe's
    /// conditions); `None` where no step lowers F by more than rounding hides.
    fn search(&self, direction: Array2<f64>) -> Option<Self> {
        let slope = inner(&self.gradient, &direction);
        if !(slope < 0.0 && slope.is_finite()) {
            return None;
        }
        let move_of_logits = self.problem.logits(&direction);
        let hidden = 4.0 * T::epsilon().f64() * self.value.abs();
        let (mut low, mut low_slope, mut high) = (0.0, slope, f64::INFINITY);
        let mut t = 1.0;
        for _ in 0..TRIALS {
            let mut w = self.w.clone();
            w.scaled_add(t, &direction);
            let mut logits = self.logits.clone();
            logits.scaled_add(T::of(t), &move_of_logits);
            let mut slopes = logits.clone();
            let (sum, mut here) = self.sum(&mut slopes, Some(&move_of_logits));
            let value = sum + self.penalty(&w);
            here += self.penalty_slope(&w, &direction);
            let fallen = value <= self.value + 1e-4 * t * slope;
            // Near the solution rounding hides the fall of F, but not the slope's.
            let flat = value <= self.value + hidden && here.abs() <= 0.5 * slope.abs();
            if !(fallen || flat) {
                high = t;
                let share = low_slope.abs() / (low_slope.abs() + here.max(0.0));
                t = low + (high - low) * if share.is_finite() { share.clamp(0.1, 0.5) } else { 0.5 };
            } else if here < 0.9 * slope {
                (low, low_slope) = (t, here);
                t = if high.is_finite() { 0.5 * (low + high) } else { 2.0 * t };
            } else {
                let gradient = self.gradient_from(&slopes, self.problem.alpha, &w);
                return Some(Self { w, logits, value, gradient, ..*self });
            }
        }
        None
    }

    /// Newton's direction to within a relative error, by preconditioned conjugate gradients.
    fn newton(
        &self,
        precondition: impl Fn(&Array2<f64>) -> Array2<f64>,
        accuracy: f64,
        stopping: Stopping<'_>,
    ) -> Array2<f64> {
        let mut residual = -&self.gradient;
        let mut conjugate = precondition(&residual);
        let mut size = inner(&residual, &conjugate);
        let goal = accuracy * accuracy * size;
        let mut direction = Array2::zeros(residual.raw_dim());
        for _ in 0..CONJUGATE {
            let image = self.curvature_along(&conjugate);
            let curvature = inner(&conjugate, &image);
            if !(curvature > 0.0 && curvature.is_finite()) || (stopping.interrupted)() {
                break;
            }
            direction.scaled_add(size / curvature, &conjugate);
            residual.scaled_add(-size / curvature, &image);
            let preconditioned = precondition(&residual);
            let next = inner(&residual, &preconditioned);
            if next <= goal {
                break;
            }
            conjugate *= next / size;
            conjugate += &preconditioned;
            size = next;
        }
        direction
    }

    /// ∇²F·p, from gradients at two places on either side.
    fn curvature_along(&self, p: &Array2<f64>) -> Array2<f64> {
        let move_of_logits = self.problem.logits(p);
        let largest = move_of_logits.iter().fold(0.0, |top: f64, v| top.max(v.f64().abs()));
        // Balances rounding of the gradients with the bend of the function between the places.
        let t = T::epsilon().f64().cbrt() / largest.max(f64::MIN_POSITIVE);
        let mut ahead = self.logits.clone();
        ahead.scaled_add(T::of(t), &move_of_logits);
        let mut behind = self.logits.clone();
        behind.scaled_add(T::of(-t), &move_of_logits);
        self.sum(&mut ahead, None);
        self.sum(&mut behind, None);
        ahead -= &behind;
        ahead.mapv_inplace(|v| v / T::of(2.0 * t));
        self.gradient_from(&ahead, self.problem.alpha, p)
    }

    /// Σ s_i ℓ_i at the logits given, which become s_i ∇ℓ_i; and its slope along a direction.
    fn sum(&self, logits: &mut Array2<T>, direction: Option<&Array2<T>>) -> (f64, f64) {
        let sums: Vec<(f64, f64)> = logits
            .axis_chunks_iter_mut(Axis(0), ROWS)
            .into_par_iter()
            .enumerate()
            .map(|(chunk, mut logits)| {
                let (mut value, mut slope) = (0.0, 0.0);
                for (i, mut row) in logits.rows_mut().into_iter().enumerate() {
                    let i = chunk * ROWS + i;
                    let weight = self.problem.weights[i];
                    if let Some(row) = row.as_slice_mut() {
                        value += weight.f64() * self.loss.value_and_gradient(i, row);
                    }
                    row.mapv_inplace(|v| v * weight);
                    if let Some(direction) = direction {
                        let terms = row.iter().zip(direction.row(i));
                        slope += terms.map(|(g, p)| g.f64() * p.f64()).sum::<f64>();
                    }
                }
                (value, slope)
            })
            .collect();
        sums.into_iter().fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1))
    }

    /// Xᵀ(s_i ∇ℓ_i), with the intercept's entries, + αW.
    fn gradient_from(&self, slopes: &Array2<T>, alpha: f64, w: &Array2<f64>) -> Array2<f64> {
        let (x, k) = (self.problem.x, slopes.ncols());
        let d = x.ncols();
        let mut gradient = w * alpha;
        let mut coef = gradient.slice_mut(s![..d, ..]);
        let mut add = |part: &Array2<T>| coef.zip_mut_with(part, |to, from| *to += from.f64());
        // A sum over all samples of so few numbers gives threads too little to share.
        for rows in (0..x.nrows()).step_by(PARTS * PART_ROWS) {
            let rows = s![rows..(rows + PARTS * PART_ROWS).min(x.nrows()), ..];
            let parts: Vec<Array2<T>> = x
                .slice(rows)
                .axis_chunks_iter(Axis(0), PART_ROWS)
                .into_par_iter()
                .zip(slopes.slice(rows).axis_chunks_iter(Axis(0), PART_ROWS))
                .map(|(x, slopes)| {
                    let mut part = Array2::zeros((d, k));
                    // What is read by columns must lie in a cache.
                    for (x, slopes) in
                        x.axis_chunks_iter(Axis(0), ROWS).zip(slopes.axis_chunks_iter(Axis(0), ROWS))
                    {
                        product(T::one(), x.t(), slopes, T::one(), part.view_mut(), Threads::One);
                    }
                    part
                })
                .collect();
            parts.iter().for_each(&mut add);
        }
        if self.problem.fit_intercept {
            gradient.row_mut(d).assign(&slopes.mapv(T::f64).sum_axis(Axis(0)));
        }
        gradient
    }

    fn penalty(&self, w: &Array2<f64>) -> f64 {
        let coef = w.slice(s![..self.problem.x.ncols(), ..]);
        0.5 * self.problem.alpha * coef.iter().map(|v| v * v).sum::<f64>()
    }

    fn penalty_slope(&self, w: &Array2<f64>, direction: &Array2<f64>) -> f64 {
        let rows = s![..self.problem.x.ncols(), ..];
        let terms = w.slice(rows).into_iter().zip(direction.slice(rows));
        self.problem.alpha * terms.map(|(w, p)| w * p).sum::<f64>()
    }
}

/// A step, the change of the gradient over it, and the inverse of their product.
type Pair = (Array2<f64>, Array2<f64>, f64);

fn remember<T>(memory: &mut VecDeque<Pair>, before: &Point<'_, '_, T>, after: &Point<'_, '_, T>) {
    let (step, change) = (&after.w - &before.w, &after.gradient - &before.gradient);
    let curvature = inner(&step, &change);
    // Without curvature along the step there is nothing to learn from it.
    if curvature > f64::EPSILON * (inner(&step, &step) * inner(&change, &change)).sqrt() {
        if memory.len() == MEMORY {
            memory.pop_front();
        }
        memory.push_back((step, change, curvature.recip()));
    }
}

/// H·gradient by the two loops of Liu and Nocedal, from M⁻¹ rescaled by the last pair.
fn quasi_newton(memory: &VecDeque<Pair>, metric: &Metric, gradient: &Array2<f64>) -> Array2<f64> {
    let mut q = gradient.clone();
    let mut shares = Vec::with_capacity(memory.len());
    for (step, change, inverse) in memory.iter().rev() {
        let share = inverse * inner(step, &q);
        q.scaled_add(-share, change);
        shares.push(share);
    }
    let mut direction = metric.solve(&q);
    if let Some((step, change, _)) = memory.back() {
        direction *= inner(step, change) / inner(change, &metric.solve(change));
    }
    for ((step, change, inverse), share) in memory.iter().zip(shares.into_iter().rev()) {
        let other = inverse * inner(change, &direction);
        direction.scaled_add(share - other, step);
    }
    direction
}

fn inner(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
