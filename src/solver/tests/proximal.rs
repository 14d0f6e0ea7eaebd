//! The weight block with a penalty: its optimality, its descent, what it keeps exactly.

use super::super::layers::Layer;
use super::{distance, for_both, normal};
use crate::kernel::proximal_weight_block::ProximalBlock;
use crate::linalg::Threads;
use crate::penalty::PenaltyKind;
use crate::real::Real;
use ndarray::{Array2, s};

for_both!(
    repeated_solutions_converge_to_the_minimiser,
    intercept_is_solved_along,
    multiple_of_the_identity_is_solved_at_once,
    half_square_is_that_of_the_metric,
    steps_of_a_penalised_layer_descend,
    majorised_steps_never_raise_the_block,
    what_holds_exactly_holds_after_every_step,
);

const KINDS: [&str; 5] =
    ["l1(0.3)", "elastic_net(0.5, 0.3)", "nonnegative", "box(-0.2, 0.1)", "nuclear(0.4)"];

fn block<T: Real>(text: &str, shape: (usize, usize)) -> ProximalBlock<T> {
    ProximalBlock::new(PenaltyKind::parse(text).unwrap().make(None, None).unwrap(), shape)
}

/// Gram matrix of 40 rows with trailing ones, means far from 0; small damping.
fn gram<T: Real>(n_inputs: usize) -> (Array2<T>, Vec<T>) {
    let mut x = Array2::ones((40, n_inputs + 1));
    x.slice_mut(s![.., ..n_inputs]).assign(&(normal::<T>(40, n_inputs, 3) + T::of(2.0)));
    let mut damping = vec![T::of(0.5); n_inputs + 1];
    damping[n_inputs] = T::zero();
    (x.t().dot(&x) / T::of(40.0), damping)
}

/// With one target again and again the start is the solution: the residual of the optimality
/// condition V = prox(V − M(V − V₀)) vanishes.
fn repeated_solutions_converge_to_the_minimiser<T: Real>() {
    for text in KINDS {
        let (gram, damping) = gram::<T>(6);
        let mut block = block::<T>(text, (7, 4));
        block.set_metric(gram.view(), &damping);
        let target = normal::<T>(7, 4, 5);
        let mut solution = Array2::zeros((7, 4));
        for _ in 0..60 {
            block.solve(target.view(), 0.3, solution.view_mut(), Threads::One).unwrap();
        }
        let metric = &gram + &Array2::from_diag(&ndarray::Array1::from(damping));
        let gradient = metric.dot(&(&solution - &target)) / T::of(0.3);
        assert!(
            gradient.row(6).iter().all(|v| v.f64().abs() < 3e-5),
            "{text}: intercept {}",
            gradient.row(6)
        );
        let mut moved = &solution - &(&gradient * T::of(0.01));
        let mut penalty = PenaltyKind::parse(text).unwrap().make::<T>(None, None).unwrap();
        penalty.prox(0.01, moved.slice_mut(s![..6, ..])).unwrap();
        let wrong = distance(moved.slice(s![..6, ..]), solution.slice(s![..6, ..]));
        assert!(wrong < 1e-5, "{text}: {wrong}");
        let model = |block: &mut ProximalBlock<T>, weights: &Array2<T>| {
            block.model(target.view(), 0.3, weights.view(), Threads::One).unwrap()
        };
        let least = model(&mut block, &solution);
        for seed in 0..30 {
            let mut other = &solution + &(normal::<T>(7, 4, 50 + seed) * T::of(0.1));
            block.project(other.view_mut()).unwrap();
            assert!(model(&mut block, &other) >= least - 1e-4 * least, "{text}");
        }
    }
}

/// A penalty of strength 0 leaves the target, intercept included.
fn intercept_is_solved_along<T: Real>() {
    let (gram, damping) = gram::<T>(6);
    let mut block = block::<T>("l1(0)", (7, 4));
    block.set_metric(gram.view(), &damping);
    let target = normal::<T>(7, 4, 5);
    let mut solution = Array2::zeros((7, 4));
    block.solve(target.view(), 0.3, solution.view_mut(), Threads::One).unwrap();
    assert!(distance(solution.view(), target.view()) < 1e-5);
}

fn multiple_of_the_identity_is_solved_at_once<T: Real>() {
    for text in KINDS {
        let mut block = block::<T>(text, (7, 4));
        block.set_multiple(2.0);
        let target = normal::<T>(7, 4, 5);
        let mut solution = Array2::zeros((7, 4));
        block.solve(target.view(), 0.6, solution.view_mut(), Threads::One).unwrap();
        let mut expected = target.clone();
        let mut penalty = PenaltyKind::parse(text).unwrap().make::<T>(None, None).unwrap();
        penalty.prox(0.3, expected.slice_mut(s![..6, ..])).unwrap();
        assert_eq!(solution, expected, "{text}");
    }
}

fn half_square_is_that_of_the_metric<T: Real>() {
    let (gram, damping) = gram::<T>(6);
    let mut block = block::<T>("l1(1)", (7, 4));
    let weights = normal::<T>(7, 4, 9);
    block.set_metric(gram.view(), &damping);
    let got = block.half_square(weights.view(), Threads::One);
    // Over the intercept, ½⟨W, MW⟩ is least at the covariance's value.
    let metric = (&gram + &Array2::from_diag(&ndarray::Array1::from(damping))).mapv(T::f64);
    let w = weights.slice(s![..6, ..]).mapv(T::f64);
    let m = metric.slice(s![..6, 6..]);
    let reduced = &metric.slice(s![..6, ..6]) - &(m.dot(&m.t()) / metric[[6, 6]]);
    let expected = 0.5 * (&w * &reduced.dot(&w)).sum();
    assert!((got - expected).abs() < 1e-4 * expected, "{got} {expected}");
}

/// ½‖Wᵀx − t‖² + P(W) by full steps in the metric of its own Hessian: never up, down to the end.
fn steps_of_a_penalised_layer_descend<T: Real>() {
    for text in KINDS {
        let mut x = Array2::ones((40, 7));
        x.slice_mut(s![.., ..6]).assign(&(normal::<T>(40, 6, 3) + T::one()));
        let t = normal::<T>(40, 4, 4) + T::of(0.5);
        let gram = x.t().dot(&x) / T::of(40.0);
        let kind = PenaltyKind::parse(text).unwrap();
        let penalty = kind.make::<T>(None, None).unwrap();
        let mut layer = Layer::new(normal::<T>(7, 4, 6)).with_penalty(kind.make(None, None), 0.0);
        layer.set_metric(gram.view(), 0.01, 0.0, Threads::One).unwrap();
        layer.project().unwrap();
        let objective = |weights: &Array2<T>| {
            let error = (x.dot(weights) - &t).mapv(|v| v.f64() * v.f64()).sum() / 80.0;
            error + penalty.value(weights.slice(s![..6, ..])).unwrap()
        };
        let first = objective(&layer.weights);
        let mut before = first;
        for _ in 0..200 {
            layer.gradient = x.t().dot(&(x.dot(&layer.weights) - &t)) / T::of(40.0);
            layer.solve(0.0, Threads::One);
            layer.advance(1.0, 0.0, 1.0, Threads::One).unwrap();
            let after = objective(&layer.weights);
            assert!(after <= before + 1e-4 * first, "{text}: {before} to {after}");
            before = after;
        }
        // At the end the proximal gradient map stands still.
        let gradient = x.t().dot(&(x.dot(&layer.weights) - &t)) / T::of(40.0);
        let mut moved = &layer.weights - &(&gradient * T::of(0.02));
        kind.make::<T>(None, None).unwrap().prox(0.02, moved.slice_mut(s![..6, ..])).unwrap();
        let wrong = distance(moved.view(), layer.weights.view());
        assert!(wrong < 1e-5, "{text}: {wrong}");
        assert!(before < first, "{text}");
    }
}

fn what_holds_exactly_holds_after_every_step<T: Real>() {
    for text in ["nonnegative", "box(-0.2, 0.1)", "sparse(0.6)", "rank(2)"] {
        let (gram, damping) = gram::<T>(6);
        let mut block = block::<T>(text, (7, 4));
        block.set_metric(gram.view(), &damping);
        let penalty = PenaltyKind::parse(text).unwrap().make::<T>(None, None).unwrap();
        for seed in 0..20 {
            let mut solution = Array2::zeros((7, 4));
            let target = normal::<T>(7, 4, seed);
            block.solve(target.view(), 0.3, solution.view_mut(), Threads::One).unwrap();
            assert_eq!(penalty.value(solution.slice(s![..6, ..])).unwrap(), 0.0, "{text}");
        }
    }
}

/// Steps on a quadratic that the metric majorises, sets that are not convex included: the objective never
/// rises, the steps fade, and the block's own metric is left as it was.
fn majorised_steps_never_raise_the_block<T: Real>() {
    for text in KINDS.into_iter().chain(["rank(2)", "sparse(0.6)"]) {
        let (gram, damping) = gram::<T>(6);
        let mut block = block::<T>(text, (7, 4));
        block.set_multiple(3.0);
        let center = normal::<T>(7, 4, 21);
        let mut weights = normal::<T>(7, 4, 22);
        block.project(weights.view_mut()).unwrap();
        let value = |weights: &Array2<T>| {
            let away = weights - &center;
            let smooth = 0.5 * (&away * &gram.dot(&away)).iter().map(|v| v.f64()).sum::<f64>();
            let penalty = PenaltyKind::parse(text).unwrap().make::<T>(None, None).unwrap();
            smooth + penalty.value(weights.slice(s![..6, ..])).unwrap()
        };
        let (start, mut last, mut lengths) = (value(&weights), value(&weights), Vec::new());
        for _ in 0..40 {
            let gradient = gram.dot(&(&weights - &center));
            let (moved, length) = block
                .majorised_step(gram.view(), &damping, gradient.view(), weights.view(), Threads::One)
                .unwrap();
            weights = moved;
            lengths.push(length);
            let now = value(&weights);
            assert!(now <= last * (1.0 + 1e-5) + 1e-6, "{text}: from {last} to {now}");
            last = now;
        }
        assert!(last < 0.9 * start, "{text}: from {start} to {last}");
        assert!(lengths[39] < 1e-3 * lengths[0], "{text}: steps from {} to {}", lengths[0], lengths[39]);
        let half = block.half_square(weights.view(), Threads::One);
        let plain = 1.5 * weights.slice(s![..6, ..]).iter().map(|v| v.f64().powi(2)).sum::<f64>();
        assert!((half - plain).abs() <= 1e-5 * plain, "{text}: the metric changed");
    }
}
