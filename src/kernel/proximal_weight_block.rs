//! The weight block of a layer with a penalty, majorised.
//!
//! ```text
//! min over V:  ⟨g, V − W⟩ + 1/(2η) ‖V − W‖²_M + P(V)  =  1/(2η) ‖V − V₀‖²_M + P(V) + const
//! ```
//!
//! with V₀ = W − η M⁻¹g, the step without the penalty. The intercept, which P does not see, is
//! eliminated: what is left has the metric M̃ = M_ww − m mᵀ/M_bb, a damped covariance where M is a
//! damped Gram matrix, and far better conditioned. A few proximal-gradient steps of length 1/λmax(M̃)
//! follow, accelerated (Nesterov 2004, for strongly convex problems). The last operation is a prox:
//! constraints hold exactly.
//!
//! The steps begin at V₀ moved as the last solution was from its own V₀. Where the weights rest,
//! V* − V₀ = −η M̃⁻¹p with p the subgradient of P there, so the start is the solution, however few
//! the steps. For a set that is not convex, where only the place of the zeros or the leading
//! directions matter, a single step follows, in the piece of the set that is nearest to V₀.

use crate::error::Result;
use crate::linalg::{Threads, damped_inverse, product, spectral_bound};
use crate::penalty::Penalty;
use crate::real::Real;
use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2, Axis, s};

/// Proximal steps a block, at most.
const MOST_STEPS: usize = 20;
/// The same where each needs a singular value decomposition.
const MOST_SPECTRAL_STEPS: usize = 5;
/// They end when one moves the weights by less than this share of their distance from V₀.
const TOLERANCE: f64 = 0.01;

/// A penalty, the metric, and the buffers of the solution.
#[derive(Debug)]
pub struct ProximalBlock<T> {
    penalty: Box<dyn Penalty<T>>,
    metric: Metric<T>,
    /// V* − V₀ of the last solution, and the rate it was for, `(n_inputs, n_units)`.
    shift: Array2<T>,
    shift_rate: f64,
    ahead: Array2<T>,
    current: Array2<T>,
    residual: Array2<T>,
}

/// M as the solution needs it.
#[derive(Debug)]
enum Metric<T> {
    /// This multiple of the identity for the weights, the intercept apart.
    Multiple(f64),
    Dense {
        /// M̃, `(n_inputs, n_inputs)`.
        weights: Array2<T>,
        /// m/M_bb, `(n_inputs,)`.
        coupling: Array1<T>,
        /// M_bb.
        intercept: f64,
        /// Upper bound of the eigenvalues of M̃.
        largest: f64,
        /// Nesterov's momentum for the condition number of M̃.
        momentum: T,
    },
}

impl<T: Real> ProximalBlock<T> {
    /// For weights `(n_inputs + 1, n_units)`, the last row the intercept; the metric is the identity.
    pub fn new(penalty: Box<dyn Penalty<T>>, shape: (usize, usize)) -> Self {
        let zeros = Array2::zeros((shape.0.saturating_sub(1), shape.1));
        Self {
            penalty,
            metric: Metric::Multiple(1.0),
            shift: zeros.clone(),
            shift_rate: 1.0,
            ahead: zeros.clone(),
            current: zeros.clone(),
            residual: zeros,
        }
    }

    /// The penalty.
    pub fn penalty(&self) -> &dyn Penalty<T> {
        self.penalty.as_ref()
    }

    /// Takes M = G + diag(damping), `(n_inputs + 1, n_inputs + 1)`.
    pub fn set_metric(&mut self, gram: ArrayView2<'_, T>, damping: &[T]) {
        let n = gram.nrows() - 1;
        let bottom = gram[[n, n]] + damping[n];
        let coupling = gram.slice(s![..n, n]).mapv(|v| v / bottom);
        let mut weights = gram.slice(s![..n, ..n]).to_owned();
        for (mut row, &m) in weights.rows_mut().into_iter().zip(&coupling) {
            row.scaled_add(-m * bottom, &coupling);
        }
        for (v, &d) in weights.diag_mut().iter_mut().zip(damping) {
            *v += d;
        }
        let least = damping[..n].iter().fold(f64::INFINITY, |least, d| least.min(d.f64()));
        let largest = spectral_bound(weights.view()).max(least);
        let root = (largest / least.max(f64::MIN_POSITIVE)).sqrt();
        let momentum = T::of((root - 1.0) / (root + 1.0));
        self.metric = Metric::Dense { weights, coupling, intercept: bottom.f64(), largest, momentum };
    }

    /// Takes this multiple of the identity, the intercept apart.
    pub fn set_multiple(&mut self, multiple: f64) {
        self.metric = Metric::Multiple(multiple);
    }

    /// See [`Penalty::tighten`].
    pub fn tighten(&mut self, progress: f64) {
        self.penalty.tighten(progress);
    }

    /// W ← the nearest weights that a constraint allows; other penalties leave them alone.
    ///
    /// # Errors
    /// [`crate::error::Error::Factorisation`] when LAPACK fails.
    pub fn project(&mut self, mut weights: ArrayViewMut2<'_, T>) -> Result<()> {
        if self.penalty.is_constraint() {
            let n = weights.nrows() - 1;
            self.penalty.prox(1.0, weights.slice_mut(s![..n, ..]))?;
        }
        Ok(())
    }

    /// P at weights with their intercept; 0 for a constraint, which the solutions keep.
    ///
    /// # Errors
    /// As [`ProximalBlock::project`].
    pub fn value(&self, weights: ArrayView2<'_, T>) -> Result<f64> {
        if self.penalty.is_constraint() {
            return Ok(0.0);
        }
        self.penalty.value(weights.slice(s![..weights.nrows() - 1, ..]))
    }

    /// W ← the solution for V₀ = `target` at rate η; returns P there.
    ///
    /// Exact for a multiple of the identity. `weights` and `target` are `(n_inputs + 1, n_units)`; what
    /// `weights` holds on entry does not matter.
    ///
    /// # Errors
    /// As [`ProximalBlock::project`].
    pub fn solve(
        &mut self,
        target: ArrayView2<'_, T>,
        rate: f64,
        mut weights: ArrayViewMut2<'_, T>,
        threads: Threads,
    ) -> Result<f64> {
        let n = target.nrows() - 1;
        weights.assign(&target);
        let aim = target.slice(s![..n, ..]);
        let Self { penalty, metric, shift, shift_rate, ahead, current, residual } = self;
        let Metric::Dense { weights: matrix, coupling, largest, momentum, .. } = metric else {
            let Metric::Multiple(multiple) = metric else { return Ok(0.0) };
            return penalty.prox(rate / *multiple, weights.slice_mut(s![..n, ..]));
        };
        let (step, length) = (rate / *largest, T::of(1.0 / *largest));
        let convex = penalty.is_convex();
        let held = !convex && penalty.choose(aim);
        let ratio = T::of(rate / *shift_rate);
        combine(ahead, aim, shift.view(), |t, s| t + ratio * s);
        if held {
            penalty.prox_again(step, ahead.view_mut())?;
        }
        let mut value = 0.0;
        let most = match (convex, penalty.is_elementwise()) {
            (true, true) => MOST_STEPS,
            (true, false) => MOST_SPECTRAL_STEPS,
            _ => 1,
        };
        for round in 0..most {
            combine(residual, ahead.view(), aim, |a, t| a - t);
            // From here on `shift` holds the point before.
            shift.assign(current);
            current.assign(ahead);
            product(-length, matrix.view(), residual.view(), T::one(), current.view_mut(), threads);
            value = penalty.prox_again(step, current.view_mut())?;
            if squared_distance(current.view(), ahead.view())
                <= TOLERANCE * TOLERANCE * squared_distance(current.view(), aim)
            {
                break;
            }
            let momentum = if round > 0 { *momentum } else { T::zero() };
            combine(ahead, current.view(), shift.view(), |c, p| c + momentum * (c - p));
        }
        weights.slice_mut(s![..n, ..]).assign(current);
        combine(shift, current.view(), aim, |c, t| c - t);
        *shift_rate = rate;
        // b = b₀ − m̃ᵀ(V − V₀) minimises over the intercept.
        let row = coupling.view().insert_axis(Axis(0));
        let last = weights.slice_mut(s![n.., ..]);
        product(-T::one(), row, shift.view(), T::one(), last, Threads::One);
        Ok(value)
    }

    /// 1/(2η)‖W − V₀‖²_M + P(W), what [`ProximalBlock::solve`] makes small.
    ///
    /// # Errors
    /// As [`ProximalBlock::project`].
    pub fn model(
        &mut self,
        target: ArrayView2<'_, T>,
        rate: f64,
        weights: ArrayView2<'_, T>,
        threads: Threads,
    ) -> Result<f64> {
        let n = target.nrows() - 1;
        let square = self.squared_length((&weights - &target).view(), threads);
        Ok(0.5 * square / rate + self.penalty.value(weights.slice(s![..n, ..]))?)
    }

    /// One majorise–minimise step from `weights`, with the majoriser's metric M = `gram` +
    /// diag(`damping`) in the place of this block's own: what it returns has no higher
    /// ⟨g, V − W⟩ + ½‖V − W‖²_M + P(V) than W itself. Also returns ‖V − W‖²_M.
    ///
    /// `gram` is `(n_inputs + 1, n_inputs + 1)`, `gradient` and `weights` are `(n_inputs + 1, n_units)`.
    ///
    /// # Errors
    /// [`crate::error::Error::Factorisation`] when LAPACK fails.
    pub fn majorised_step(
        &mut self,
        gram: ArrayView2<'_, T>,
        damping: &[T],
        gradient: ArrayView2<'_, T>,
        weights: ArrayView2<'_, T>,
        threads: Threads,
    ) -> Result<(Array2<T>, f64)> {
        let own = std::mem::replace(&mut self.metric, Metric::Multiple(1.0));
        let step = self.majorised_step_in(gram, damping, gradient, weights, threads);
        self.metric = own;
        step
    }

    fn majorised_step_in(
        &mut self,
        gram: ArrayView2<'_, T>,
        damping: &[T],
        gradient: ArrayView2<'_, T>,
        weights: ArrayView2<'_, T>,
        threads: Threads,
    ) -> Result<(Array2<T>, f64)> {
        self.set_metric(gram, damping);
        let inverse = damped_inverse(gram, damping, threads)?;
        let mut target = weights.to_owned();
        product(-T::one(), inverse.view(), gradient, T::one(), target.view_mut(), threads);
        let mut solution = Array2::zeros(weights.raw_dim());
        self.solve(target.view(), 1.0, solution.view_mut(), threads)?;
        let stay = self.model(target.view(), 1.0, weights, threads)?;
        if self.model(target.view(), 1.0, solution.view(), threads)? > stay {
            // A proximal gradient step, whose majoriser the whole set minimises.
            let mut whole = gram.to_owned();
            whole.diag_mut().iter_mut().zip(damping).for_each(|(v, &d)| *v += d);
            let length = 1.0 / spectral_bound(whole.view());
            solution.assign(&weights);
            solution.scaled_add(T::of(-length), &gradient);
            self.penalty.prox(length, solution.slice_mut(s![..weights.nrows() - 1, ..]))?;
        }
        let length = self.squared_length((&solution - &weights).view(), threads);
        Ok((solution, length))
    }

    /// matrix ← matrix + factor·M̃, `(n_inputs, n_inputs)`.
    pub fn add_metric(&self, factor: f64, mut matrix: ArrayViewMut2<'_, T>) {
        match &self.metric {
            Metric::Multiple(multiple) => {
                matrix.diag_mut().map_inplace(|v| *v += T::of(factor * multiple));
            }
            Metric::Dense { weights, .. } => matrix.scaled_add(T::of(factor), weights),
        }
    }

    /// ⟨A, MA⟩ for weights with their intercept.
    pub fn squared_length(&mut self, away: ArrayView2<'_, T>, threads: Threads) -> f64 {
        let n = away.nrows() - 1;
        let inner = |a: ArrayView2<'_, T>, b: ArrayView2<'_, T>| -> f64 {
            a.iter().zip(b).map(|(a, b)| a.f64() * b.f64()).sum()
        };
        let (moved, last) = (away.slice(s![..n, ..]), away.slice(s![n.., ..]));
        match &self.metric {
            Metric::Multiple(multiple) => multiple * inner(moved, moved) + inner(last, last),
            Metric::Dense { weights, coupling, intercept, .. } => {
                product(T::one(), weights.view(), moved, T::zero(), self.residual.view_mut(), threads);
                let mut free = last.to_owned();
                let row = coupling.view().insert_axis(Axis(0));
                product(T::one(), row, moved, T::one(), free.view_mut(), Threads::One);
                inner(moved, self.residual.view()) + intercept * inner(free.view(), free.view())
            }
        }
    }

    /// M̃W, without the intercept, for weights with theirs.
    pub fn image(&mut self, weights: ArrayView2<'_, T>, threads: Threads) -> ArrayView2<'_, T> {
        let weights = weights.slice(s![..weights.nrows() - 1, ..]);
        match &self.metric {
            Metric::Multiple(multiple) => {
                self.residual.assign(&weights);
                self.residual *= T::of(*multiple);
            }
            Metric::Dense { weights: matrix, .. } => {
                product(T::one(), matrix.view(), weights, T::zero(), self.residual.view_mut(), threads);
            }
        }
        self.residual.view()
    }

    /// ½⟨W, M̃W⟩ for weights with their intercept.
    pub fn half_square(&mut self, weights: ArrayView2<'_, T>, threads: Threads) -> f64 {
        let image = self.image(weights, threads);
        0.5 * weights.iter().zip(image).map(|(a, b)| a.f64() * b.f64()).sum::<f64>()
    }
}

/// out ← f(a, b) for matrices of one shape, contiguous in row order.
fn combine<T: Real>(out: &mut Array2<T>, a: ArrayView2<'_, T>, b: ArrayView2<'_, T>, f: impl Fn(T, T) -> T) {
    if let (Some(out), Some(a), Some(b)) = (out.as_slice_mut(), a.as_slice(), b.as_slice()) {
        for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
            *out = f(a, b);
        }
    }
}

fn squared_distance<T: Real>(a: ArrayView2<'_, T>, b: ArrayView2<'_, T>) -> f64 {
    match (a.as_slice(), b.as_slice()) {
        (Some(a), Some(b)) => a.iter().zip(b).map(|(&a, &b)| ((a - b) * (a - b)).f64()).sum(),
        _ => f64::INFINITY,
    }
}
