//! Products, inverses, factors and spectra against naive twins.

use crate::common::normal;
use liftnet::error::Error;
use liftnet::linalg::{
    Threads, add_upper_gram, damped_inverse, leading_eigen, lower_factor, mirror, product,
};
use liftnet::real::Real;
use ndarray::{Array1, Array2, ArrayView2, s};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

for_both!(
    products_of_degenerate_shapes,
    product_overwrites_without_beta,
    products_with_few_columns,
    rows_of_few_columns_do_not_know_of_others,
    upper_gram_and_mirror_make_the_gram,
    damped_inverse_inverts,
    damped_inverse_refuses_what_has_none,
    products_have_the_same_bits_in_every_pool,
);

const BOTH: [Threads; 2] = [Threads::One, Threads::All];

/// Σ_k a_ik b_kj in double precision.
fn naive<T: Real>(a: ArrayView2<'_, T>, b: ArrayView2<'_, T>) -> Array2<f64> {
    Array2::from_shape_fn((a.nrows(), b.ncols()), |(i, j)| {
        (0..a.ncols()).map(|k| a[[i, k]].f64() * b[[k, j]].f64()).sum()
    })
}

/// The same by ndarray's own product, which is none of ours, for larger matrices.
fn dot<T: Real>(a: ArrayView2<'_, T>, b: ArrayView2<'_, T>) -> Array2<f64> {
    a.mapv(T::f64).dot(&b.mapv(T::f64))
}

fn largest<T: Real>(a: ArrayView2<'_, T>) -> f64 {
    a.iter().fold(0.0, |top, v| if v.is_finite() { v.f64().abs().max(top) } else { f64::INFINITY })
}

fn distance<T: Real>(a: ArrayView2<'_, T>, b: ArrayView2<'_, f64>) -> f64 {
    assert_eq!(a.dim(), b.dim());
    largest((&a.mapv(T::f64) - &b).view())
}

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

/// The same matrix behind other strides: as it is, transposed in memory, every second row or
/// column of a larger one, or with an axis reversed.
fn with_layout<R>(a: &Array2<f64>, layout: u8, use_view: impl FnOnce(ArrayView2<'_, f64>) -> R) -> R {
    let (m, n) = a.dim();
    match layout {
        0 => use_view(a.view()),
        1 => {
            let stored = a.t().as_standard_layout().to_owned();
            use_view(stored.t())
        }
        2 => {
            let mut wide = Array2::from_elem((2 * m, 3 * n), f64::NAN);
            wide.slice_mut(s![..;2, ..;3]).assign(a);
            use_view(wide.slice(s![..;2, ..;3]))
        }
        3 => {
            let stored = a.slice(s![..;-1, ..]).to_owned();
            use_view(stored.slice(s![..;-1, ..]))
        }
        _ => {
            let stored = a.slice(s![.., ..;-1]).to_owned();
            use_view(stored.slice(s![.., ..;-1]))
        }
    }
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![Just(0usize), Just(1), 2..9usize, 9..40usize, Just(70)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn product_is_the_triple_loop(
        (m, n, k) in (size(), size(), size()),
        layouts in (0..5u8, 0..5u8, 0..4u8),
        alpha in prop_oneof![Just(1.0), Just(-1.0), Just(0.0), -3.0..3.0f64],
        beta in prop_oneof![Just(0.0), Just(1.0), -3.0..3.0f64],
        all in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let (a, b) = (normal::<f64>(m, k, seed), normal::<f64>(k, n, seed ^ 1));
        let before = normal::<f64>(m, n, seed ^ 2);
        let threads = BOTH[usize::from(all)];
        let expected = alpha * &naive(a.view(), b.view()) + beta * &before;
        // C in some layout, in the middle of a frame that must stay as it is.
        let mut frame = Array2::from_elem((2 * m + 2, 2 * n + 2), 7.0);
        let mut c = match layouts.2 {
            0 => frame.slice_mut(s![1..=m, 1..=n]),
            1 => frame.slice_mut(s![1..2 * m + 1;2, 1..2 * n + 1;2]),
            2 => frame.slice_mut(s![1..2 * m + 1;-2, 1..=n]),
            _ => frame.slice_mut(s![1..=m, 1..2 * n + 1;-2]),
        };
        c.assign(&before);
        with_layout(&a, layouts.0, |a| with_layout(&b, layouts.1, |b| {
            product(alpha, a, b, beta, c.view_mut(), threads);
        }));
        let wrong = distance(c.view(), expected.view());
        prop_assert!(wrong <= 1e-12, "off by {}", wrong);
        c.fill(7.0);
        prop_assert!(frame.iter().all(|&v| v == 7.0), "written outside of C");
    }

    #[test]
    fn product_in_single_precision((m, n, k) in (size(), size(), size()), seed in any::<u64>()) {
        let (a, b) = (normal::<f32>(m, k, seed), normal::<f32>(k, n, seed ^ 1));
        let mut c = normal::<f32>(m, n, seed ^ 2);
        let expected = naive(a.view(), b.view()) * 0.5 + c.mapv(f64::from) * 2.0;
        product(0.5, a.view(), b.view(), 2.0, c.view_mut(), Threads::All);
        prop_assert!(distance(c.view(), expected.view()) <= 2e-5);
    }
}

fn products_of_degenerate_shapes<T: Real>() {
    for threads in BOTH {
        for (m, n, k) in [(0, 3, 2), (3, 0, 2), (0, 0, 0), (1, 1, 1), (1, 300, 1), (300, 1, 300), (1, 1, 500)]
        {
            let (a, b) = (normal::<T>(m, k, 1), normal::<T>(k, n, 2));
            let mut c = Array2::zeros((m, n));
            product(T::one(), a.view(), b.view(), T::zero(), c.view_mut(), threads);
            assert!(distance(c.view(), naive(a.view(), b.view()).view()) <= 500.0 * T::epsilon().f64());
        }
        // An empty sum: C ← β C.
        let (a, b) = (normal::<T>(3, 0, 1), normal::<T>(0, 2, 2));
        for beta in [0.0, 0.5, 1.0] {
            let mut c = Array2::from_elem((3, 2), T::of(4.0));
            product(T::one(), a.view(), b.view(), T::of(beta), c.view_mut(), threads);
            assert_eq!(c, Array2::from_elem((3, 2), T::of(4.0 * beta)), "β = {beta}");
        }
    }
}

/// A path of its own: A in place by rows or by columns, C in row order.
fn products_with_few_columns<T: Real>() {
    for n in 1..=18 {
        for (m, k) in [(7, 5), (8, 33), (9, 1), (19, 70), (32, 0), (301, 40)] {
            let (a, b) = (normal::<T>(m, k, 1), normal::<T>(k, n, 2));
            let by_columns = a.t().as_standard_layout().to_owned();
            let expected = naive(a.view(), b.view()) * 0.5;
            let spread = Array2::from_shape_fn((2 * m, 3 * k), |(i, p)| a[[m - 1 - i / 2, p / 3]]);
            let mut first = None;
            for a in [a.view(), by_columns.t(), spread.slice(s![..;-2, ..;3])] {
                let mut c = Array2::from_elem((m, n), T::nan());
                product(T::of(0.5), a, b.view(), T::zero(), c.view_mut(), Threads::One);
                let wrong = distance(c.view(), expected.view());
                assert!(wrong <= 1e2 * T::epsilon().f64(), "{m} x {n} x {k}: off by {wrong}");
                if (2..=16).contains(&n) {
                    assert_eq!(first.get_or_insert(c.clone()), &c, "{m} x {n} x {k}: other bits by layout");
                }
                c.fill(T::of(3.0));
                product(T::of(0.5), a, b.view(), T::of(2.0), c.view_mut(), Threads::All);
                let wrong = distance(c.view(), (&expected + 6.0).view());
                assert!(wrong <= 1e2 * T::epsilon().f64(), "{m} x {n} x {k}: off by {wrong} from 6");
            }
        }
    }
}

/// A prediction does not depend on those beside it.
fn rows_of_few_columns_do_not_know_of_others<T: Real>() {
    for (k, n) in [(3, 2), (300, 10), (1100, 10), (4096, 16)] {
        let (a, b) = (normal::<T>(260, k, 1), normal::<T>(k, n, 2));
        let times = |a: ArrayView2<'_, T>| {
            let mut c = Array2::zeros((a.nrows(), n));
            product(T::one(), a, b.view(), T::zero(), c.view_mut(), Threads::One);
            c
        };
        let whole = times(a.view());
        for rows in [0..1, 5..7, 9..18, 100..200, 255..260] {
            let part = times(a.slice(s![rows.clone(), ..]));
            assert_eq!(part, whole.slice(s![rows.clone(), ..]), "{rows:?} of 260 x {k} x {n}");
        }
    }
}

/// Beside sums in one go, whose rounding grows with their length.
#[test]
fn products_with_few_columns_round_little() {
    let (a, b) = (normal::<f32>(40, 4096, 1), normal::<f32>(4096, 10, 2).mapv(f32::abs));
    let a = a.mapv(f32::abs);
    let exact = naive(a.view(), b.view());
    let rounding = |c: &Array2<f32>| (c.mapv(f64::from) - &exact).mapv(|off| off * off).sum().sqrt();
    let in_one_go = Array2::from_shape_fn(exact.dim(), |(i, j)| {
        (0..4096).fold(0.0, |sum: f32, p| a[[i, p]].mul_add(b[[p, j]], sum))
    });
    let mut c = Array2::zeros(exact.dim());
    product(1.0, a.view(), b.view(), 0.0, c.view_mut(), Threads::One);
    let (got, most) = (rounding(&c), 0.4 * rounding(&in_one_go));
    assert!(got <= most, "rounding {got}, at most {most}");
}

/// β = 0 means that C is not read: not even NaN in it.
fn product_overwrites_without_beta<T: Real>() {
    for (m, n, k) in [(3, 2, 4), (40, 50, 60), (1, 20, 30), (20, 1, 30), (5, 5, 0)] {
        let (a, b) = (normal::<T>(m, k, 1), normal::<T>(k, n, 2));
        let mut c = Array2::from_elem((m, n), T::nan());
        product(T::one(), a.view(), b.view(), T::zero(), c.view_mut(), Threads::All);
        let wrong = distance(c.view(), naive(a.view(), b.view()).view());
        assert!(wrong <= 1e3 * T::epsilon().f64(), "{m} x {n} x {k}: off by {wrong}");
    }
}

#[test]
#[should_panic(expected = "shapes of a product")]
fn product_checks_shapes() {
    let (a, b) = (Array2::<f64>::zeros((2, 3)), Array2::zeros((4, 2)));
    product(1.0, a.view(), b.view(), 0.0, Array2::zeros((2, 2)).view_mut(), Threads::One);
}

fn upper_gram_and_mirror_make_the_gram<T: Real>() {
    for (rows, columns) in [(1, 1), (0, 3), (7, 1), (5, 20), (50, 127), (50, 128), (50, 129), (33, 300)] {
        for threads in BOTH {
            let x = normal::<T>(rows, columns, 3);
            let before = normal::<T>(columns, columns, 4);
            let mut gram = before.clone();
            add_upper_gram(T::of(0.5), x.view(), gram.view_mut(), threads);
            mirror(&mut gram);
            let full = dot(x.t(), x.view());
            let expected = Array2::from_shape_fn((columns, columns), |(i, j)| {
                before[[i.min(j), i.max(j)]].f64() + 0.5 * full[[i, j]]
            });
            let wrong = distance(gram.view(), expected.view());
            assert!(wrong <= 200.0 * T::epsilon().f64(), "{rows} x {columns}: off by {wrong}");
        }
    }
    // A view without unit strides.
    let x = normal::<T>(60, 150, 5);
    let view = x.slice(s![..;2, ..;-1]);
    let mut gram = Array2::zeros((150, 150));
    add_upper_gram(T::one(), view, gram.view_mut(), Threads::All);
    mirror(&mut gram);
    assert!(distance(gram.view(), dot(view.t(), view).view()) <= 200.0 * T::epsilon().f64());
}

/// A positive semidefinite matrix of rank n/2, eigenvalues of order 1.
fn semidefinite<T: Real>(n: usize, seed: u64) -> Array2<T> {
    let x = normal::<f64>(n.div_ceil(2), n, seed);
    (dot(x.t(), x.view()) / n as f64).mapv(T::of)
}

fn damped_inverse_inverts<T: Real>() {
    for n in [1, 2, 5, 63, 64, 65, 129, 200] {
        for threads in BOTH {
            let a = semidefinite::<T>(n, 6);
            let damping: Vec<T> = (0..n).map(|i| T::of(0.1 + 0.3 * (i % 3) as f64)).collect();
            let inverse = damped_inverse(a.view(), &damping, threads).unwrap();
            let mut damped = a.clone();
            damped.diag_mut().iter_mut().zip(&damping).for_each(|(v, &d)| *v += d);
            let identity = Array2::<f64>::eye(n);
            for (left, right) in [(&damped, &inverse), (&inverse, &damped)] {
                let wrong = distance(dot(left.view(), right.view()).view(), identity.view());
                assert!(wrong <= 2e3 * T::epsilon().f64(), "{n}: off by {wrong}");
            }
            let skew = largest((&inverse - &inverse.t()).view());
            assert!(skew <= 1e3 * T::epsilon().f64(), "{n}: inverse skew by {skew}");
        }
    }
}

fn damped_inverse_refuses_what_has_none<T: Real>() {
    for n in [1, 5, 100, 200] {
        let damping = vec![T::of(0.1); n];
        let good = semidefinite::<T>(n, 7);
        for bad in [T::nan(), T::infinity(), T::neg_infinity()] {
            for place in [(0, 0), (n - 1, n - 1), (n / 2, n / 3), (n - 1, 0)] {
                let mut a = good.clone();
                (a[[place.0, place.1]], a[[place.1, place.0]]) = (bad, bad);
                let error = damped_inverse(a.view(), &damping, Threads::All);
                assert!(matches!(error, Err(Error::Factorisation { .. })), "{n}: {bad} at {place:?}");
            }
        }
        let mut negative = good.clone();
        negative[[n - 1, n - 1]] = -T::one();
        let error = damped_inverse(negative.view(), &damping, Threads::All);
        assert!(matches!(error, Err(Error::Factorisation { .. })), "{n}: not definite");
    }
}

#[test]
fn lower_factor_is_cholesky_with_its_inverse() {
    for n in [1, 2, 5, 16, 17, 33, 64, 65, 200] {
        let mut a = semidefinite::<f64>(n, 9);
        a.diag_mut().map_inplace(|v| *v += 0.2);
        let (factor, inverse) = lower_factor(&a).unwrap();
        for (name, matrix) in [("L", &factor), ("L⁻¹", &inverse)] {
            let upper = matrix.indexed_iter().filter(|((i, j), _)| j > i);
            assert!(upper.map(|(_, v)| *v).all(|v| v == 0.0), "{n}: {name} is not lower triangular");
            assert!(matrix.diag().iter().all(|&v| v > 0.0), "{n}: {name} has a diagonal entry ≤ 0");
        }
        let wrong = distance(dot(factor.view(), factor.t()).view(), a.view());
        assert!(wrong <= 1e-13, "{n}: L Lᵀ off by {wrong}");
        let wrong = distance(dot(inverse.view(), factor.view()).view(), Array2::eye(n).view());
        assert!(wrong <= 1e-12, "{n}: L⁻¹ L off by {wrong}");
    }
}

#[test]
fn lower_factor_refuses_what_has_none() {
    for n in [1, 5, 40] {
        let mut indefinite = Array2::<f64>::eye(n);
        indefinite[[n - 1, n - 1]] = -1.0;
        assert!(matches!(lower_factor(&indefinite), Err(Error::Factorisation { size, .. }) if size == n));
        for bad in [f64::NAN, f64::INFINITY] {
            let mut broken = Array2::<f64>::eye(n);
            broken[[0, 0]] = bad;
            broken[[n - 1, 0]] = bad;
            broken[[0, n - 1]] = bad;
            let answer = lower_factor(&broken);
            assert!(matches!(answer, Err(Error::Factorisation { .. })), "{n}: {bad} gave {answer:?}");
        }
    }
}

/// Orthonormal columns by Gram–Schmidt, twice.
fn orthonormal(d: usize, seed: u64) -> Array2<f64> {
    let mut q = normal::<f64>(d, d, seed);
    for _ in 0..2 {
        for j in 0..d {
            let mut v = q.column(j).to_owned();
            for i in 0..j {
                let along = q.column(i).dot(&v);
                v.scaled_add(-along, &q.column(i));
            }
            let length = v.dot(&v).sqrt();
            q.column_mut(j).assign(&(v / length));
        }
    }
    q
}

fn with_spectrum(values: &[f64], seed: u64) -> Array2<f64> {
    let q = orthonormal(values.len(), seed);
    dot((&q * &Array1::from(values.to_vec())).view(), q.t())
}

fn eigen(matrix: &Array2<f64>, block: usize, iterations: usize) -> liftnet::linalg::LeadingEigen {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(11);
    leading_eigen(|q| matrix.dot(q), matrix.nrows(), block, iterations, &mut rng).unwrap()
}

fn assert_orthonormal(vectors: &Array2<f64>) {
    let wrong = distance(dot(vectors.t(), vectors.view()).view(), Array2::eye(vectors.ncols()).view());
    assert!(wrong <= 1e-10, "vectors orthonormal up to {wrong}");
}

#[test]
fn leading_eigen_finds_a_known_spectrum() {
    let spectrum: Vec<f64> = (0..60).map(|i| 3.0 * 0.7f64.powi(i)).collect();
    let matrix = with_spectrum(&spectrum, 12);
    let found = eigen(&matrix, 20, 5);
    assert_eq!((found.values.len(), found.vectors.dim()), (20, (60, 20)));
    assert!(found.values.windows(2).into_iter().all(|pair| pair[0] >= pair[1]), "descending");
    assert_orthonormal(&found.vectors);
    for (i, &value) in spectrum.iter().enumerate().take(8) {
        let wrong = (found.values[i] - value).abs();
        assert!(wrong <= 1e-6 * value, "eigenvalue {i}: {} not {value}", found.values[i]);
        let v = found.vectors.column(i);
        let residual = &matrix.dot(&v) - &(&v * value);
        assert!(residual.dot(&residual).sqrt() <= 1e-3 * value, "residual of eigenvector {i}");
    }
}

/// A full block needs no iteration: one Rayleigh–Ritz step is the eigendecomposition.
#[test]
fn leading_eigen_of_a_full_block_is_exact() {
    for d in [1, 2, 10, 40] {
        let spectrum: Vec<f64> = (0..d).map(|i| 5.0 / (1.0 + i as f64)).collect();
        let matrix = with_spectrum(&spectrum, 13);
        for iterations in [1, 4] {
            let found = eigen(&matrix, d, iterations);
            assert_orthonormal(&found.vectors);
            let rebuilt = dot((&found.vectors * &found.values).view(), found.vectors.t());
            assert!(distance(rebuilt.view(), matrix.view()) <= 1e-11, "{d} after {iterations}");
        }
    }
}

#[test]
fn leading_eigen_of_deficient_matrices() {
    for rank in [0, 1, 3] {
        let mut spectrum = vec![0.0; 30];
        spectrum[..rank].iter_mut().enumerate().for_each(|(i, v)| *v = 2.0 - 0.5 * i as f64);
        let matrix = with_spectrum(&spectrum, 14);
        let found = eigen(&matrix, 10, 4);
        assert_orthonormal(&found.vectors);
        for (i, &value) in found.values.iter().enumerate() {
            let expected = spectrum[i];
            assert!(value >= 0.0 && (value - expected).abs() <= 1e-12, "rank {rank}: {value} not {expected}");
        }
    }
}

/// Mild and steep: bases by Cholesky factors, and by LAPACK where these do not do.
#[test]
fn leading_eigen_is_orthonormal_whatever_the_spectrum() {
    for decay in [1.0, 0.8, 0.5, 0.3, 0.1, 1e-3] {
        let spectrum: Vec<f64> = (0..50).map(|i| 7.0 * f64::powi(decay, i)).collect();
        let found = eigen(&with_spectrum(&spectrum, 15), 25, 4);
        assert_orthonormal(&found.vectors);
        for (i, &value) in spectrum.iter().enumerate().take(3) {
            let wrong = (found.values[i] - value).abs();
            assert!(wrong <= 1e-9 * spectrum[0], "{decay}: eigenvalue {i} {} not {value}", found.values[i]);
        }
    }
}

#[test]
fn leading_eigen_has_the_same_bits_in_every_pool() {
    let x = normal::<f64>(400, 250, 15);
    let run = || {
        let mut gram = Array2::zeros((250, 250));
        add_upper_gram(1.0, x.view(), gram.view_mut(), Threads::All);
        mirror(&mut gram);
        let apply = |q: &Array2<f64>| {
            let mut image = Array2::zeros(q.raw_dim());
            product(1.0, gram.view(), q.view(), 0.0, image.view_mut(), Threads::All);
            image
        };
        let found = leading_eigen(apply, 250, 60, 4, &mut Xoshiro256PlusPlus::seed_from_u64(16)).unwrap();
        gram.diag_mut().map_inplace(|v| *v += 1.0);
        let (_, inverse) = lower_factor(&gram).unwrap();
        (found.values, found.vectors, inverse)
    };
    let first = pool(1).install(run);
    for threads in [2, 3, 4] {
        assert!(pool(threads).install(run) == first, "{threads} threads");
    }
}

fn products_have_the_same_bits_in_every_pool<T: Real>() {
    // Large, tall, wide, and the shapes of matrix times vector and of an outer product.
    for (m, n, k) in
        [(300, 257, 400), (1000, 7, 300), (9, 900, 300), (1, 500, 600), (500, 1, 600), (200, 200, 1)]
    {
        let (a, b) = (normal::<T>(m, k, 17), normal::<T>(k, n, 18));
        let run = || {
            let mut c = Array2::ones((m, n));
            product(T::of(0.3), a.view(), b.view(), T::one(), c.view_mut(), Threads::All);
            let mut transposed = Array2::ones((n, m));
            product(T::of(0.3), b.t(), a.t(), T::one(), transposed.view_mut(), Threads::All);
            (c, transposed)
        };
        let first = pool(1).install(run);
        for threads in [2, 3, 4] {
            assert!(pool(threads).install(run) == first, "{m} x {n} x {k} on {threads} threads");
        }
    }
    let x = normal::<T>(500, 400, 19);
    let run = || {
        let mut gram = Array2::zeros((400, 400));
        add_upper_gram(T::one(), x.view(), gram.view_mut(), Threads::All);
        mirror(&mut gram);
        let inverse = damped_inverse(gram.view(), &[T::one(); 400], Threads::All).unwrap();
        (gram, inverse)
    };
    let first = pool(1).install(run);
    for threads in [2, 3, 4] {
        assert!(pool(threads).install(run) == first, "Gram matrix or inverse on {threads} threads");
    }
}
