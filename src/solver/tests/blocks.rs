//! The two convex blocks: the closed forms are minimisers, the steps descend.

use super::super::layers::Layer;
use super::{distance, for_both, normal};
use crate::activation::{Activation, ActivationKind, Divergence, Elementwise, Tie};
use crate::kernel::activation_block::pull_back;
use crate::kernel::weight_block::{gradient, metric_damping};
use crate::linalg::{Threads, damped_inverse};
use crate::real::Real;
use ndarray::{Array1, Array2, ArrayView1, s};

for_both!(
    activation_block_is_minimised,
    activation_block_of_coupled_units_is_minimised,
    weight_gradient_sums_over_chunks,
    weight_block_descends_as_its_majoriser_says,
    ridge_shrinks_the_step_of_a_layer_without_metric,
    metric_damps_all_but_the_intercept,
);

/// Activations whose units are independent, with the potentials that the lifted problem uses.
fn elementwise<T: Real>() -> impl Iterator<Item = (ActivationKind, Box<dyn Elementwise<T>>)> {
    ActivationKind::ALL.iter().filter_map(|&kind| Some((kind, kind.lifted().elementwise()?)))
}

/// x* = φ(z − g/λ) minimises λ[f(x) − x z] + g x over the domain.
fn activation_block_is_minimised<T: Real>() {
    for (kind, phi) in elementwise::<T>() {
        let (low, high) = phi.domain();
        for lambda in [0.3, 1.0, 20.0] {
            let (z, given) = (normal::<T>(30, 4, 1) * T::of(2.0), normal::<T>(30, 4, 2) * T::of(3.0));
            let x = z.mapv(|z| phi.phi(z));
            let mut pulled = given.clone();
            let tie = Tie::new(kind, Divergence::Fenchel);
            pull_back(&tie, z.view(), x.view(), T::of(lambda), pulled.view_mut(), |_| 1.0);
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

/// The same for softmax, against other points of the simplex: KL(·‖x*) is the rise.
fn activation_block_of_coupled_units_is_minimised<T: Real>() {
    let (kind, lambda) = (ActivationKind::Softmax, 0.7);
    let (z, given) = (normal::<T>(30, 4, 1) * T::of(2.0), normal::<T>(30, 4, 2));
    let (phi, tie) = (kind.make::<T>(), Tie::new(kind, Divergence::Fenchel));
    let mut x = z.clone();
    for (z, mut x) in z.rows().into_iter().zip(x.rows_mut()) {
        phi.apply(z.as_slice().unwrap(), x.as_slice_mut().unwrap());
    }
    let mut pulled = given.clone();
    pull_back(&tie, z.view(), x.view(), T::of(lambda), pulled.view_mut(), |_| 1.0);
    let best = &x - &(pulled / T::of(lambda));
    for row in 0..30 {
        let objective = |x: &[T]| {
            let linear = |(&x, (&z, &g)): (&T, (&T, &T))| x.f64() * (g.f64() - lambda * z.f64());
            let terms = x.iter().zip(z.row(row).into_iter().zip(given.row(row))).map(linear);
            lambda * phi.potential(x) + terms.sum::<f64>()
        };
        let at = |x: &Array2<T>, row: usize| x.row(row).to_vec();
        let least = objective(&at(&best, row));
        for other in 0..30 {
            let other = at(&x, other);
            let distance = |(a, b): (&T, &T)| (*a - *b).f64().powi(2);
            let apart: f64 = other.iter().zip(&at(&best, row)).map(distance).sum();
            let rounding = 32.0 * T::epsilon().f64() * (1.0 + least.abs());
            assert!(objective(&other) >= least + lambda * apart - rounding, "row {row}");
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

fn applied<T: Real>(phi: &dyn Activation<T>, z: Array2<T>) -> Array2<T> {
    let mut x = z.clone();
    for (z, mut x) in z.rows().into_iter().zip(x.rows_mut()) {
        phi.apply(&z.to_vec(), x.as_slice_mut().unwrap());
    }
    x
}

impl<T: Real> Model<T> {
    fn new(kind: ActivationKind, lambda: f64, ridge: f64) -> Self {
        let mut inputs = Array2::ones((80, 6));
        inputs.slice_mut(s![.., ..5]).assign(&(normal(80, 5, 3) * T::of(1.5)));
        let targets = applied(kind.make::<T>().as_ref(), normal(80, 2, 4));
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
        let phi = self.kind.make::<T>();
        let z = self.inputs.dot(weights);
        let row = |(z, x): (ArrayView1<'_, T>, ArrayView1<'_, T>)| phi.divergence(&x.to_vec(), &z.to_vec());
        let sum: f64 = z.rows().into_iter().zip(self.targets.rows()).map(row).sum();
        let square = self.penalised(weights).mapv(|w| w.f64() * w.f64()).sum();
        self.lambda * sum / 80.0 + 0.5 * self.ridge * square
    }

    /// mean λ x (φ(z) − x⁺)ᵀ + ridge W.
    fn gradient(&self, weights: &Array2<T>) -> Array2<T> {
        let residual = applied(self.kind.make::<T>().as_ref(), self.inputs.dot(weights)) - &self.targets;
        self.inputs.t().dot(&residual) * T::of(self.lambda / 80.0)
            + self.penalised(weights) * T::of(self.ridge)
    }

    /// λ sup φ′ mean x xᵀ, which bounds the Hessian but for the ridge.
    fn majoriser(&self) -> Array2<T> {
        let slope = self.kind.make::<T>().slope_bound();
        self.inputs.t().dot(&self.inputs) * (slope * T::of(self.lambda / 80.0))
    }
}

/// A step of 1 in a metric above the Hessian lowers the objective by at least ½⟨gradient, step⟩.
fn weight_block_descends_as_its_majoriser_says<T: Real>() {
    for kind in ActivationKind::ALL.iter().map(|kind| kind.lifted()) {
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
fn metric_damps_all_but_the_intercept<T: Real>() {
    let diagonal = Array1::from(vec![1.0, 3.0, 5.0, 1e4]);
    let gram = Array2::from_diag(&diagonal).mapv(T::of);
    let damping = metric_damping(gram.view(), 1.0, 3.0);
    let inverse = damped_inverse(gram.view(), &damping, Threads::One).unwrap();
    let expected = Array2::from_diag(&Array1::from(vec![1.0 / 7.0, 1.0 / 9.0, 1.0 / 11.0, 1e-4]));
    for (got, expected) in inverse.iter().zip(&expected) {
        assert!((got.f64() - expected).abs() <= 1e-6 * expected, "{got} not {expected}");
    }
    // Silent units: still a metric.
    let mut silent = Array2::zeros((4, 4));
    silent[[3, 3]] = T::one();
    let damping = metric_damping(silent.view(), 2.0, 0.0);
    let inverse = damped_inverse(silent.view(), &damping, Threads::One).unwrap();
    assert!(inverse.iter().all(|v| v.is_finite()));
}
