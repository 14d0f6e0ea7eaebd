//! The two convex blocks: the closed forms are minimisers, the steps descend.

use super::super::layers::Layer;
use super::{distance, for_both, normal};
use crate::activation::{ActivationKind, Divergence, Tie};
use crate::kernel::activation_block::pull_back;
use crate::kernel::weight_block::{gradient, inverse_metric};
use crate::linalg::Threads;
use crate::real::Real;
use ndarray::{Array1, Array2, s};

for_both!(
    activation_block_is_minimised,
    weight_gradient_sums_over_chunks,
    weight_block_descends_as_its_majoriser_says,
    ridge_shrinks_the_step_of_a_layer_without_metric,
    inverse_metric_damps_all_but_the_intercept,
);

/// x* = φ(z − g/λ) minimises λ[f(x) − x z] + g x over the domain.
fn activation_block_is_minimised<T: Real>() {
    for &kind in ActivationKind::ALL {
        let phi = kind.elementwise::<T>();
        let (low, high) = phi.domain();
        for lambda in [0.3, 1.0, 20.0] {
            let (z, given) = (normal::<T>(30, 4, 1) * T::of(2.0), normal::<T>(30, 4, 2) * T::of(3.0));
            let x = z.mapv(|z| phi.phi(z));
            let mut pulled = given.clone();
            let tie = Tie::new(kind, Divergence::Fenchel);
            pull_back(&tie, z.view(), x.view(), T::of(lambda), pulled.view_mut());
            for (place, &pulled) in pulled.indexed_iter() {
                let (z, g, start) = (z[place].f64(), given[place].f64(), x[place]);
                let best = start - pulled / T::of(lambda);
                let best = best.max(low).min(high);
                let objective = |x: T| lambda * (phi.potential(x).f64() - x.f64() * z) + g * x.f64();
                let least = objective(best);
                let rounding = 64.0 * T::epsilon().f64() * (1.0 + lambda) * (1.0 + least.abs());
                assert!(least <= objective(start) + rounding, "{kind:?}: worse than where it started");
                for shift in [1e-4, 1e-2, 0.1, 1.0, 10.0].into_iter().flat_map(|shift| [shift, -shift]) {
                    let other = (best + T::of(shift)).max(low).min(high);
                    // λf is strongly convex with modulus λ / sup φ′.
                    let rise = lambda * (other - best).f64().powi(2) / (2.0 * phi.slope_bound().f64());
                    let value = objective(other);
                    let case = format!("{kind:?}, λ {lambda}");
                    assert!(
                        value >= least + rise - rounding * (1.0 + rise),
                        "{case}: {value} at {other}, {least} at {best}"
                    );
                }
            }
        }
    }
}

/// scale · Σ inputᵀ δ + ridge · W with a free intercept, whatever the cut into tiles and chunks.
fn weight_gradient_sums_over_chunks<T: Real>() {
    for n_inputs in [1, 62, 63, 64, 65, 127, 150] {
        let inputs = [normal::<T>(40, n_inputs + 1, 7), normal(3, n_inputs + 1, 8)];
        let deltas = [normal::<T>(40, 5, 9), normal(3, 5, 10)];
        let weights = normal::<T>(n_inputs + 1, 5, 11);
        let mut expected = weights.mapv(|w| 0.25 * w.f64());
        expected.row_mut(n_inputs).fill(0.0);
        for (input, delta) in inputs.iter().zip(&deltas) {
            expected += &(input.mapv(T::f64).t().dot(&delta.mapv(T::f64)) * 0.5);
        }
        for threads in [Threads::One, Threads::All] {
            let mut got = Array2::from_elem((n_inputs + 1, 5), T::nan());
            let chunks = inputs.iter().zip(&deltas).map(|(input, delta)| (input.view(), delta.view()));
            gradient(chunks, weights.view(), T::of(0.5), T::of(0.25), got.view_mut(), threads);
            let wrong = distance(got.view(), expected.view());
            assert!(wrong <= 200.0 * T::epsilon().f64(), "{n_inputs} inputs: off by {wrong}");
        }
    }
}

/// A generalised linear model by hand: inputs with ones, lifted targets, matching loss, ridge.
struct Model<T> {
    kind: ActivationKind,
    lambda: f64,
    ridge: f64,
    inputs: Array2<T>,
    targets: Array2<T>,
}

impl<T: Real> Model<T> {
    fn new(kind: ActivationKind, lambda: f64, ridge: f64) -> Self {
        let mut inputs = Array2::ones((80, 6));
        inputs.slice_mut(s![.., ..5]).assign(&(normal(80, 5, 3) * T::of(1.5)));
        let phi = kind.elementwise::<T>();
        let targets = normal::<T>(80, 2, 4).mapv(|u| phi.phi(u));
        Self { kind, lambda, ridge, inputs, targets }
    }

    /// The weights that are penalised: all but the intercept's row.
    fn penalised(&self, weights: &Array2<T>) -> Array2<T> {
        let mut penalised = weights.clone();
        penalised.row_mut(5).fill(T::zero());
        penalised
    }

    /// mean λ D(x⁺, Wᵀx) + (ridge/2)‖W‖².
    fn objective(&self, weights: &Array2<T>) -> f64 {
        let phi = self.kind.elementwise::<f64>();
        let z = self.inputs.dot(weights);
        let sum: f64 = z.iter().zip(&self.targets).map(|(z, x)| phi.divergence(x.f64(), z.f64())).sum();
        let square = self.penalised(weights).mapv(|w| w.f64() * w.f64()).sum();
        self.lambda * sum / 80.0 + 0.5 * self.ridge * square
    }

    /// mean λ x (φ(z) − x⁺)ᵀ + ridge W.
    fn gradient(&self, weights: &Array2<T>) -> Array2<T> {
        let phi = self.kind.elementwise::<T>();
        let residual = self.inputs.dot(weights).mapv(|z| phi.phi(z)) - &self.targets;
        self.inputs.t().dot(&residual) * T::of(self.lambda / 80.0)
            + self.penalised(weights) * T::of(self.ridge)
    }

    /// λ sup φ′ mean x xᵀ, which bounds the Hessian but for the ridge.
    fn majoriser(&self) -> Array2<T> {
        let slope = self.kind.elementwise::<T>().slope_bound();
        self.inputs.t().dot(&self.inputs) * (slope * T::of(self.lambda / 80.0))
    }
}

/// A step of 1 in a metric above the Hessian lowers the objective by at least ½⟨gradient, step⟩.
fn weight_block_descends_as_its_majoriser_says<T: Real>() {
    for &kind in ActivationKind::ALL {
        for (lambda, damping, ridge) in
            [(1.0, 0.01, 0.0), (5.0, 0.5, 2.0), (0.2, 3.0, 0.1), (1.0, 0.01, 30.0)]
        {
            let model = Model::<T>::new(kind, lambda, ridge);
            let mut layer = Layer::new(normal::<T>(6, 2, 5));
            layer.set_metric(model.majoriser().view(), damping, ridge, Threads::One).unwrap();
            let mut before = model.objective(&layer.weights);
            let start = before;
            for _ in 0..20 {
                layer.gradient = model.gradient(&layer.weights);
                let length = layer.solve(ridge, Threads::One);
                assert!(length >= 0.0);
                layer.descend(T::one(), T::zero(), T::one(), Threads::One);
                let after = model.objective(&layer.weights);
                let rounding = 8.0 * T::epsilon().f64() * start;
                assert!(after <= before - 0.5 * length + rounding, "{kind:?}: {before} to {after}, {length}");
                before = after;
            }
            assert!(before < 0.7 * start, "{kind:?}, {lambda}, {damping}, {ridge}: only {start} to {before}");
        }
    }
}

/// For the identity the majoriser is exact: one step nearly without damping is ridge regression.
#[test]
fn weight_block_of_the_identity_is_solved_in_one_step() {
    for ridge in [0.0, 0.3] {
        let model = Model::<f64>::new(ActivationKind::Identity, 1.0, ridge);
        let mut layer = Layer::new(normal(6, 2, 6));
        // In units in which the least damping and the intercept's own are nothing.
        let unit = 1e8;
        layer.gradient = model.gradient(&layer.weights) * unit;
        layer.set_metric((model.majoriser() * unit).view(), 1e-12, ridge * unit, Threads::One).unwrap();
        layer.solve(ridge * unit, Threads::One);
        layer.descend(1.0, 0.0, 1.0, Threads::One);
        let wrong = distance(model.gradient(&layer.weights).view(), Array2::<f64>::zeros((6, 2)).view());
        assert!(wrong <= 1e-8, "gradient {wrong} after the step");
    }
}

/// Mapped inputs have the identity as metric: the ridge adds to it, but not for the intercept.
fn ridge_shrinks_the_step_of_a_layer_without_metric<T: Real>() {
    let mut layer = Layer::new(Array2::<T>::zeros((3, 2)));
    layer.gradient.fill(T::one());
    let length = layer.solve(3.0, Threads::One);
    layer.descend(T::one(), T::zero(), T::one(), Threads::One);
    assert_eq!(layer.weights, ndarray::array![[-0.25, -0.25], [-0.25, -0.25], [-1.0, -1.0]].mapv(T::of));
    assert_eq!(length, 3.0);
}

/// (G + (ε mean(diag) + ridge) I) on the inputs; the intercept's own entry neither counts nor is damped.
fn inverse_metric_damps_all_but_the_intercept<T: Real>() {
    let diagonal = Array1::from(vec![1.0, 3.0, 5.0, 1e4]);
    let gram = Array2::from_diag(&diagonal).mapv(T::of);
    let inverse = inverse_metric(gram.view(), 1.0, 3.0, Threads::One).unwrap();
    let expected = Array2::from_diag(&Array1::from(vec![1.0 / 7.0, 1.0 / 9.0, 1.0 / 11.0, 1e-4]));
    for (got, expected) in inverse.iter().zip(&expected) {
        assert!((got.f64() - expected).abs() <= 1e-6 * expected, "{got} not {expected}");
    }
    // Silent units: still a metric.
    let mut silent = Array2::zeros((4, 4));
    silent[[3, 3]] = T::one();
    assert!(inverse_metric(silent.view(), 2.0, 0.0, Threads::One).unwrap().iter().all(|v| v.is_finite()));
}
