//! Sparse inputs give what the same inputs give as a dense array.

use crate::common::{normal, stochastic};
use liftnet::activation::ActivationKind;
use liftnet::error::Error;
use liftnet::linalg::Threads;
use liftnet::loss::{LossKind, Targets};
use liftnet::network::Network;
use liftnet::penalty::PenaltyKind;
use liftnet::problem::Problem;
use liftnet::real::Real;
use liftnet::rows::{Rows, SparseRows};
use liftnet::solver::{InputMap, Silent, batch};
use liftnet::spec::{Components, Options, Scaling, Solver, Spec};
use ndarray::{Array1, Array2, ArrayView2, s};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

for_both!(
    rows_are_read_as_those_of_an_array,
    non_finite_values_are_found_where_they_are,
    networks_give_the_same,
    maps_are_the_same,
    fits_are_the_same,
    starts_beyond_the_leading_directions_keep_predictions,
);

/// Compressed rows, owned.
struct Owned<T> {
    indptr: Vec<i64>,
    indices: Vec<i32>,
    values: Vec<T>,
    n_columns: usize,
}

impl<T: Real> Owned<T> {
    fn new(x: ArrayView2<'_, T>) -> Self {
        let (mut indptr, mut indices, mut values) = (vec![0], vec![], vec![]);
        for row in x.rows() {
            for (j, &value) in row.iter().enumerate() {
                if value != T::zero() {
                    indices.push(j as i32);
                    values.push(value);
                }
            }
            indptr.push(values.len() as i64);
        }
        Self { indptr, indices, values, n_columns: x.ncols() }
    }

    fn view(&self) -> SparseRows<'_, T> {
        SparseRows::new(&self.indptr, &self.indices, &self.values, self.n_columns).unwrap()
    }
}

/// Mostly zeros; one feature without any, one of zeros alone, one row of zeros alone.
fn inputs<T: Real>(n: usize, d: usize) -> Array2<T> {
    let (size, held) = (normal::<T>(n, d, 1), normal::<T>(n, d, 2));
    let mut x =
        Array2::from_shape_fn(
            (n, d),
            |(i, j)| {
                if held[[i, j]] > T::of(0.8) { size[[i, j]] } else { T::zero() }
            },
        );
    x.row_mut(n / 2).fill(T::zero());
    x.column_mut(1).assign(&size.column(1).mapv(|v| v + T::of(3.0)));
    x.column_mut(2).fill(T::zero());
    x
}

fn options(n: usize, d: usize, change: impl FnOnce(&mut Spec)) -> Options {
    let mut spec = Spec {
        loss: LossKind::SOFTMAX,
        hidden_layer_sizes: vec![6],
        alpha: Some(0.1),
        damping: Some((1.0, 1.0)),
        batch_size: Some(32),
        max_iter: Some(4),
        tol: 0.0,
        n_iter_no_change: 1000,
        seed: 1,
        ..crate::common::spec()
    };
    change(&mut spec);
    spec.check(n, d).unwrap()
}

fn distance<T: Real>(a: ArrayView2<'_, T>, b: ArrayView2<'_, T>) -> f64 {
    assert_eq!(a.dim(), b.dim());
    a.iter().zip(b).fold(0.0, |most: f64, (a, b)| most.max((*a - *b).f64().abs()))
}

fn rows_are_read_as_those_of_an_array<T: Real>() {
    let x = inputs::<T>(30, 8);
    let owned = Owned::new(x.view());
    let (dense, sparse) = (Rows::from(x.view()), Rows::from(owned.view()));
    assert_eq!((sparse.dim(), sparse.nrows(), sparse.ncols()), ((30, 8), 30, 8));
    let mut out = Array1::ones(8);
    for row in 0..30 {
        sparse.copy(row, out.view_mut());
        assert_eq!(out, x.row(row));
    }
    let b = normal::<T>(8, 3, 4);
    for b in [b.view(), b.clone().reversed_axes().as_standard_layout().t()] {
        let (mut one, mut other) = (Array2::ones((10, 3)), Array2::ones((10, 3)));
        dense.times(5..15, b, one.view_mut());
        sparse.times(5..15, b, other.view_mut());
        assert!(distance(one.view(), other.view()) <= 32.0 * T::epsilon().f64());
    }
}

fn non_finite_values_are_found_where_they_are<T: Real>() {
    for bad in [T::nan(), T::infinity(), T::neg_infinity()] {
        for (row, column) in [(0, 0), (14, 7), (29, 3)] {
            let mut x = inputs::<T>(30, 8);
            x[[row, column]] = bad;
            x[[29, 7]] = T::nan();
            let owned = Owned::new(x.view());
            let found = Rows::from(owned.view()).first_non_finite(Threads::All).unwrap();
            assert_eq!((found.0, found.1), (row, column));
            let classes = vec![0; 30];
            let refused = Problem::new(owned.view(), Targets::Classes(&classes), None, 2, LossKind::SOFTMAX)
                .unwrap_err();
            assert!(matches!(refused, Error::NonFinite { index, .. } if index == [row, column]));
        }
    }
    let x = inputs::<T>(30, 8);
    assert!(Rows::from(Owned::new(x.view()).view()).first_non_finite(Threads::One).is_none());
}

fn networks_give_the_same<T: Real>() {
    // Several blocks of rows, the last one short.
    let x = inputs::<T>(600, 9);
    let owned = Owned::new(x.view());
    for hidden in [vec![], vec![5], vec![5, 4]] {
        let sizes: Vec<usize> = [9].into_iter().chain(hidden.clone()).chain([3]).collect();
        let layers = sizes.windows(2).enumerate();
        let network = Network {
            coefs: layers.map(|(l, pair)| normal::<T>(pair[0], pair[1], 10 + l as u64)).collect(),
            intercepts: sizes[1..].iter().map(|&units| Array1::from_elem(units, T::of(0.3))).collect(),
            activations: vec![ActivationKind::Tanh; hidden.len()],
        };
        let dense = network.decision_function(x.view(), Threads::One).unwrap();
        for threads in [Threads::One, Threads::All] {
            let sparse = network.decision_function(owned.view(), threads).unwrap();
            assert!(distance(dense.view(), sparse.view()) <= 200.0 * T::epsilon().f64());
        }
    }
}

/// Of few features, of many, and of so many that the Gram matrix is only applied.
fn maps_are_the_same<T: Real>() {
    for (n, d, components) in [
        (400, 12, Components::Auto),
        (400, 12, Components::Count(5)),
        (300, 200, Components::Share(0.5)),
        (60, 2100, Components::Count(8)),
        (60, 2100, Components::Auto),
    ] {
        let x = inputs::<T>(n, d);
        let owned = Owned::new(x.view());
        let classes: Vec<u32> = (0..n).map(|i| (i % 3) as u32).collect();
        for weighted in [false, true] {
            let weights: Array1<T> = (0..n).map(|i| T::of([0.5, 0.0, 1.0, 2.5][i % 4])).collect();
            let weights = weighted.then(|| weights.view());
            for scaling in [Scaling::Global, Scaling::Feature] {
                let options = options(n, d, |spec| (spec.components, spec.scaling) = (components, scaling));
                let fit = |is_sparse: bool| {
                    let x: Rows<'_, T> = if is_sparse { owned.view().into() } else { x.view().into() };
                    let targets = Targets::Classes(&classes);
                    let problem = Problem::new(x, targets, weights, 3, LossKind::SOFTMAX).unwrap();
                    let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
                    InputMap::fit::<T>(&problem, &options, false, &mut rng).unwrap()
                };
                let (dense, sparse) = (fit(false), fit(true));
                let case = format!("{n} x {d}, {components:?}, {scaling:?}, {weighted}");
                assert_eq!(dense.n_components(), sparse.n_components(), "{case}");
                let allowed = T::epsilon().f64().sqrt();
                let (one, other) = (dense.scale(), sparse.scale());
                let scales = one.iter().zip(other).map(|(a, b)| (*a - *b).f64().abs());
                assert!(scales.fold(0.0, f64::max) <= 1e3 * T::epsilon().f64(), "{case}");
                // Directions of nearly equal variance may turn; lengths of rows in them do not.
                let lengths = |map: &InputMap<T>, x: Rows<'_, T>| -> Vec<f64> {
                    let mapped = map.apply::<T>(x);
                    let mapped = mapped.slice(s![.., ..map.n_components()]);
                    mapped.dot(&mapped.t()).iter().map(|v| v.f64()).collect()
                };
                let expected = lengths(&dense, x.view().into());
                let size = expected.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
                for (map, x) in [
                    (&sparse, owned.view().into()),
                    (&sparse, x.view().into()),
                    (&dense, owned.view().into()),
                ] {
                    for (got, expected) in lengths(map, x).iter().zip(&expected) {
                        assert!((got - expected).abs() <= 10.0 * allowed * size, "{case}: {got}, {expected}");
                    }
                }
            }
        }
    }
}

fn fits_are_the_same<T: Real>() {
    let (n, d) = (200, 15);
    let x = inputs::<T>(n, d);
    let owned = Owned::new(x.view());
    let classes: Vec<u32> =
        x.rows().into_iter().map(|row| u32::from(row[0] > row[3]) + u32::from(row[1] > T::of(3.0))).collect();
    let x_val = inputs::<T>(50, d);
    let owned_val = Owned::new(x_val.view());
    for solver in [Solver::Stochastic, Solver::Batch] {
        for penalty in ["ridge", "l1(0.1)"] {
            for noise in [0.0, 0.2] {
                let options = options(n, d, |spec| {
                    (spec.solver, spec.input_noise) = (solver, Some(noise));
                    spec.penalties = vec![PenaltyKind::parse(penalty).unwrap()];
                    if solver == Solver::Batch {
                        (spec.batch_size, spec.learning_rate) = (None, None);
                    }
                });
                let fit = |is_sparse: bool| {
                    let (x, x_val): (Rows<'_, T>, Rows<'_, T>) = match is_sparse {
                        true => (owned.view().into(), owned_val.view().into()),
                        false => (x.view().into(), x_val.view().into()),
                    };
                    let problem =
                        Problem::new(x, Targets::Classes(&classes), None, 3, LossKind::SOFTMAX).unwrap();
                    let targets = Targets::Classes(&classes[..50]);
                    let held_out = Problem::new(x_val, targets, None, 3, LossKind::SOFTMAX).unwrap();
                    match solver {
                        Solver::Batch => batch(&problem, &options, None, Some(&held_out), &mut Silent),
                        _ => stochastic(&problem, &options, None, Some(&held_out), &mut Silent),
                    }
                    .unwrap()
                };
                let (one, other) = (fit(false), fit(true));
                let case = format!("{solver:?}, {penalty}, {noise}");
                let logits =
                    |network: &Network<T>| network.decision_function(x.view(), Threads::One).unwrap();
                let (one, other) = (logits(&one.network), logits(&other.network));
                assert!(distance(one.view(), other.view()) <= 30.0 * T::epsilon().f64().sqrt(), "{case}");
            }
        }
    }
}

/// Of very many features too, of which not all directions can be kept.
fn starts_beyond_the_leading_directions_keep_predictions<T: Real>() {
    let (n, d) = (80, 2100);
    let x = inputs::<T>(n, d);
    let owned = Owned::new(x.view());
    let network = Network {
        coefs: vec![normal::<T>(d, 4, 30).mapv(|v| v * T::of(0.1)), normal(4, 3, 31)],
        intercepts: vec![Array1::from_elem(4, T::of(0.2)), Array1::zeros(3)],
        activations: vec![ActivationKind::Tanh],
    };
    let logits = |network: &Network<T>| network.decision_function(x.view(), Threads::One).unwrap();
    let expected = logits(&network);
    // Targets that the network knows, so that it is worth keeping.
    let largest = |row: ndarray::ArrayView1<'_, T>| {
        (0..3).fold(0, |best, j| if row[j] > row[best] { j } else { best }) as u32
    };
    let classes: Vec<u32> = expected.rows().into_iter().map(largest).collect();
    for rows in [Rows::from(x.view()), Rows::from(owned.view())] {
        let problem = Problem::new(rows, Targets::Classes(&classes), None, 3, LossKind::SOFTMAX).unwrap();
        let options = options(n, d, |spec| {
            (spec.components, spec.hidden_layer_sizes) = (Components::Count(6), vec![4]);
            (spec.activations, spec.alpha) = (vec![ActivationKind::Tanh], Some(0.0));
            (spec.learning_rate, spec.max_iter) = (Some(1e-12), Some(1));
        });
        let solution = stochastic(&problem, &options, Some(&network), None, &mut Silent).unwrap();
        assert_eq!(solution.n_components, 10);
        let got = logits(&solution.network);
        assert!(distance(got.view(), expected.view()) <= T::epsilon().f64().sqrt());
    }
}

#[test]
fn broken_structures_are_refused() {
    let good: (&[i64], &[i32], &[f64], usize) = (&[0, 2, 3], &[0, 2, 1], &[1.0, 2.0, 3.0], 3);
    SparseRows::new(good.0, good.1, good.2, good.3).unwrap();
    for (indptr, indices, values, n_columns) in [
        (&[][..], good.1, good.2, 3),
        (&[1, 2, 3], good.1, good.2, 3),
        (&[0, 2, 2], good.1, good.2, 3),
        (&[0, 4, 3], good.1, good.2, 3),
        (&[0, 2, -1, 3], good.1, good.2, 3),
        (good.0, &[0, 2], good.2, 3),
        (good.0, &[0, 2, 3], good.2, 3),
        (good.0, &[0, -1, 1], good.2, 3),
        (good.0, &[2, 0, 1], good.2, 3),
        (good.0, &[1, 1, 1], good.2, 3),
    ] {
        let refused = SparseRows::new(indptr, indices, values, n_columns).unwrap_err();
        assert!(matches!(refused, Error::Parameter { name: "X", .. }), "{indptr:?}, {indices:?}: {refused}");
    }
}
