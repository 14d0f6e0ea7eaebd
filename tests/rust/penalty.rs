//! Every penalty against the definition of its proximal map.

use crate::common::normal;
use liftnet::linalg::singular_values;
use liftnet::penalty::{Bounds, ElasticNet, Penalty, PenaltyKind};
use liftnet::real::Real;
use ndarray::{Array2, array};
use proptest::prelude::*;

for_both!(
    prox_is_no_worse_than_any_other_matrix,
    prox_returns_the_value,
    predicates_are_those_of_the_table,
    projections_are_idempotent,
    convex_prox_is_firmly_non_expansive,
    elementwise_prox_is_that_of_a_fine_search,
    moreau_splits_into_l1_and_a_box,
    moreau_splits_into_a_cone_and_its_polar,
    nuclear_prox_leaves_a_matrix_of_bounded_spectrum,
    rank_limit_drops_the_least_singular_values,
    sparse_keeps_the_largest,
    sparse_counts_equal_magnitudes_once,
    the_second_prox_keeps_the_piece,
    tightening_ends_at_the_final_set,
    bounds_follow_the_scale_of_the_rows,
    non_finite_weights_stay_visible,
    empty_spectra_and_zeros_are_fixed_points,
);

/// Notation, is convex, is a constraint, is elementwise.
const TABLE: &[(&str, bool, bool, bool)] = &[
    ("l1(0.3)", true, false, true),
    ("l1(0)", true, false, true),
    ("elastic_net(0.4, 0.25)", true, false, true),
    ("elastic_net(0.4)", true, false, true),
    ("nonnegative", true, true, true),
    ("box(-0.5, 0.25)", true, true, true),
    ("box(0.5, inf)", true, true, true),
    ("nuclear(0.6)", true, false, false),
    ("rank(1)", false, true, false),
    ("rank(3)", false, true, false),
    ("sparse(0.6)", false, true, true),
    ("sparse(0)", false, true, true),
];

fn make<T: Real>(text: &str) -> Box<dyn Penalty<T>> {
    PenaltyKind::parse(text).unwrap().make(None, None).unwrap()
}

/// Tall, wide, square, a column, a row.
fn shapes<T: Real>() -> Vec<Array2<T>> {
    [(9, 5), (4, 7), (6, 6), (8, 1), (1, 8)]
        .iter()
        .enumerate()
        .map(|(seed, &(rows, columns))| normal(rows, columns, seed as u64))
        .collect()
}

fn eps<T: Real>() -> f64 {
    T::epsilon().f64()
}

fn prox<T: Real>(penalty: &mut dyn Penalty<T>, step: f64, w: &Array2<T>) -> (Array2<T>, f64) {
    let mut p = w.clone();
    let value = penalty.prox(step, p.view_mut()).unwrap();
    (p, value)
}

fn squared<T: Real>(a: &Array2<T>, b: &Array2<T>) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a.f64() - b.f64()).powi(2)).sum()
}

fn every<T: Real>(mut test: impl FnMut(&str, &mut dyn Penalty<T>, &Array2<T>)) {
    for (text, ..) in TABLE {
        for w in shapes() {
            test(text, make::<T>(text).as_mut(), &w);
        }
    }
}

fn prox_is_no_worse_than_any_other_matrix<T: Real>() {
    every::<T>(|text, penalty, w| {
        for step in [0.2, 1.5] {
            let (p, value) = prox(penalty, step, w);
            let best = 0.5 * squared(w, &p) + step * value;
            for seed in 0..60 {
                let scale = T::of([1.0, 0.1, 1e-3][seed % 3]);
                let away = normal::<T>(w.nrows(), w.ncols(), 100 + seed as u64) * scale;
                let mut v = if seed % 2 == 0 { &p + &away } else { w + &away };
                if penalty.is_constraint() {
                    penalty.prox(step, v.view_mut()).unwrap();
                }
                let other = 0.5 * squared(w, &v) + step * penalty.value(v.view()).unwrap();
                assert!(best <= other + 100.0 * eps::<T>() * (1.0 + best), "{text}: {best} > {other}");
            }
        }
    });
}

fn prox_returns_the_value<T: Real>() {
    every::<T>(|text, penalty, w| {
        let (p, value) = prox(penalty, 0.7, w);
        let again = penalty.value(p.view()).unwrap();
        assert!((value - again).abs() <= 1e-6 + 1e3 * eps::<T>() * value, "{text}: {value} {again}");
        if penalty.is_constraint() {
            assert_eq!(value, 0.0, "{text}");
        }
    });
}

fn predicates_are_those_of_the_table<T: Real>() {
    for &(text, convex, constraint, elementwise) in TABLE {
        let (kind, penalty) = (PenaltyKind::parse(text).unwrap(), make::<T>(text));
        assert_eq!(penalty.is_convex(), convex, "{text}");
        assert_eq!(penalty.is_constraint(), constraint, "{text}");
        assert_eq!(penalty.is_elementwise(), elementwise, "{text}");
        assert_eq!(kind.is_elementwise(), elementwise, "{text}");
        let outside = array![[3.0, -2.0], [-1.0, 4.0]].mapv(T::of);
        let value = penalty.value(outside.view()).unwrap();
        let allows_all = ["rank(3)", "sparse(0)"].contains(&text);
        assert_eq!(value.is_infinite(), constraint && !allows_all, "{text}: {value}");
    }
}

fn projections_are_idempotent<T: Real>() {
    every::<T>(|text, penalty, w| {
        if penalty.is_constraint() {
            let (once, _) = prox(penalty, 1.0, w);
            let (twice, _) = prox(penalty, 2.0, &once);
            let exact = penalty.is_elementwise();
            let allowed = if exact { 0.0 } else { (20.0 * eps::<T>()).powi(2) * 40.0 };
            assert!(squared(&once, &twice) <= allowed, "{text}");
        }
    });
}

fn convex_prox_is_firmly_non_expansive<T: Real>() {
    every::<T>(|text, penalty, w| {
        if penalty.is_convex() {
            let v = normal::<T>(w.nrows(), w.ncols(), 77);
            let ((p, _), (q, _)) = (prox(penalty, 0.9, w), prox(penalty, 0.9, &v));
            let inner: f64 = (&p - &q).iter().zip(&(w - &v)).map(|(a, b)| a.f64() * b.f64()).sum();
            assert!(squared(&p, &q) <= inner + 1e3 * eps::<T>(), "{text}");
        }
    });
}

/// A separable prox is a minimisation over one number each.
fn elementwise_prox_is_that_of_a_fine_search<T: Real>() {
    for (text, convex, _, elementwise) in TABLE {
        if !convex || !elementwise {
            continue;
        }
        let mut penalty = make::<T>(text);
        for w in [-1.3, -0.31, -0.05, 0.0, 0.2, 0.44, 2.1] {
            let (p, _) = prox(penalty.as_mut(), 0.8, &array![[T::of(w)]]);
            let cost = |v: f64| {
                let value = penalty.value(array![[T::of(v)]].view()).unwrap();
                0.5 * (v - w).powi(2) + 0.8 * value
            };
            let grid = (-3000..=3000).map(|i| f64::from(i) * 1e-3);
            let best = grid.min_by(|&a, &b| cost(a).total_cmp(&cost(b))).unwrap();
            assert!((p[[0, 0]].f64() - best).abs() <= 1.01e-3, "{text} at {w}: {p} {best}");
        }
    }
}

fn moreau_splits_into_l1_and_a_box<T: Real>() {
    let w = normal::<T>(7, 4, 3);
    let (strength, step) = (0.7, 0.6);
    let (kept, _) = prox(&mut ElasticNet::new(strength, 1.0), step, &w);
    let (cut, _) = prox(&mut Bounds::new(-strength * step, strength * step), 1.0, &w);
    assert!(squared(&(&kept + &cut), &w) <= 28.0 * eps::<T>().powi(2));
    assert!(kept.iter().any(|v| v.is_zero()) && kept.iter().any(|v| !v.is_zero()));
}

fn moreau_splits_into_a_cone_and_its_polar<T: Real>() {
    let w = normal::<T>(7, 4, 3);
    let mut cone = make::<T>("nonnegative");
    let (above, _) = prox(cone.as_mut(), 1.0, &w);
    let (below, _) = prox(cone.as_mut(), 1.0, &w.mapv(|v| -v));
    assert_eq!(&above - &below, w);
    assert!(above.iter().zip(&below).all(|(&a, &b)| (a * b).is_zero()));
}

fn nuclear_prox_leaves_a_matrix_of_bounded_spectrum<T: Real>() {
    let w = normal::<T>(8, 5, 4);
    let (strength, step) = (1.0, 1.2);
    let (p, value) = prox(make::<T>("nuclear(1)").as_mut(), step, &w);
    let rest = &w - &p;
    let dual = singular_values(rest.view()).unwrap();
    assert!(dual[0] <= step * strength * (1.0 + 1e-5), "{dual:?}");
    let inner: f64 = p.iter().zip(&rest).map(|(a, b)| a.f64() * b.f64()).sum();
    assert!((inner - step * value).abs() <= 1e-4 * inner.abs(), "{inner} {value}");
    assert!(value > 0.0);
}

fn rank_limit_drops_the_least_singular_values<T: Real>() {
    for w in shapes::<T>() {
        let before = singular_values(w.view()).unwrap();
        for limit in [1, 2, 4] {
            let (p, _) = prox(make::<T>(&format!("rank({limit})")).as_mut(), 1.0, &w);
            let after = singular_values(p.view()).unwrap();
            for (i, (a, b)) in after.iter().zip(&before).enumerate() {
                let expected = if i < limit { *b } else { 0.0 };
                assert!((a - expected).abs() <= 1e-6 * before[0], "{after:?} {before:?}");
            }
        }
    }
}

fn sparse_keeps_the_largest<T: Real>() {
    for w in shapes::<T>() {
        for share in [0.0, 0.07, 0.5, 0.9, 0.999] {
            let (p, _) = prox(make::<T>(&format!("sparse({share})")).as_mut(), 1.0, &w);
            let mut sizes: Vec<f64> = w.iter().map(|v| v.f64().abs()).collect();
            sizes.sort_by(|a, b| b.total_cmp(a));
            let zeros = (share * w.len() as f64 - 1e-9).ceil() as usize;
            let kept = w.len() - zeros;
            assert_eq!(p.iter().filter(|v| v.is_zero()).count(), zeros, "{share} of {}", w.len());
            for (&p, &w) in p.iter().zip(&w) {
                let expected = if kept > 0 && w.f64().abs() >= sizes[kept - 1] { w } else { T::zero() };
                assert_eq!(p, expected);
            }
        }
    }
    // 0.07 times 100 is a rounding above 7.
    let (p, _) = prox(make::<T>("sparse(0.07)").as_mut(), 1.0, &normal(10, 10, 1));
    assert_eq!(p.iter().filter(|v| v.is_zero()).count(), 7);
}

fn sparse_counts_equal_magnitudes_once<T: Real>() {
    let w = array![[1.0, -1.0, 1.0, 2.0], [-1.0, 1.0, 0.5, -1.0]].mapv(T::of);
    let (p, _) = prox(make::<T>("sparse(0.5)").as_mut(), 1.0, &w);
    assert_eq!(p, array![[1.0, -1.0, 1.0, 2.0], [0.0, 0.0, 0.0, 0.0]].mapv(T::of));
}

fn the_second_prox_keeps_the_piece<T: Real>() {
    every::<T>(|text, penalty, w| {
        let (first, _) = prox(penalty, 1.0, w);
        let mut second = normal::<T>(w.nrows(), w.ncols(), 55);
        let mut plain = second.clone();
        let value = penalty.prox_again(1.0, second.view_mut()).unwrap();
        let again = penalty.value(second.view()).unwrap();
        assert!((again - value).abs() <= 1e-5 * (1.0 + value), "{text}: {again} {value}");
        if text.starts_with("sparse") {
            for (a, b) in first.iter().zip(&second) {
                assert_eq!(a.is_zero(), b.is_zero(), "{text}");
            }
        } else {
            penalty.prox(1.0, plain.view_mut()).unwrap();
            assert_eq!(plain, second, "{text}");
        }
    });
}

fn tightening_ends_at_the_final_set<T: Real>() {
    let w = normal::<T>(20, 10, 8);
    for (text, last) in [("sparse(0.9)", 20), ("rank(2)", 2)] {
        let mut penalty = make::<T>(text);
        let mut size = |progress| {
            penalty.tighten(progress);
            let (p, _) = prox(penalty.as_mut(), 1.0, &w);
            let values = singular_values(p.view()).unwrap();
            match text {
                "rank(2)" => values.iter().filter(|&&v| v > 1e-5 * values[0]).count(),
                _ => p.iter().filter(|v| !v.is_zero()).count(),
            }
        };
        let sizes: Vec<usize> = (0..=10).map(|i| size(f64::from(i) / 10.0)).collect();
        assert_eq!(sizes[0], if last == 2 { 10 } else { 200 }, "{text}");
        assert_eq!(sizes[10], last, "{text}");
        assert!(sizes.windows(2).all(|pair| pair[0] >= pair[1]), "{text}: {sizes:?}");
        assert_eq!(size(7.0), last, "{text}: beyond the end");
    }
}

fn bounds_follow_the_scale_of_the_rows<T: Real>() {
    let scale = array![1e4, 1.0, 1e-4, 0.0].mapv(T::of);
    let w = normal::<T>(4, 50, 2).mapv(|v| v * T::of(1e5));
    let mut penalty = PenaltyKind::Box { lower: -0.5, upper: 2.0 }.make(Some(scale.view()), None).unwrap();
    let (p, _) = prox(penalty.as_mut(), 1.0, &w);
    assert_eq!(p.row(3), w.row(3), "a row that does not act is free");
    for (row, &scale) in p.rows().into_iter().zip(&scale).take(3) {
        let raw = row.mapv(|v| (v * scale).f64());
        let (low, high) = raw.iter().fold((0.0f64, 0.0f64), |(l, h), &v| (l.min(v), h.max(v)));
        assert!((low + 0.5).abs() < 1e-6 && (high - 2.0).abs() < 1e-6, "{low} {high}");
    }
    assert_eq!(penalty.value(p.view()).unwrap(), 0.0);
    assert_eq!(penalty.value(w.view()).unwrap(), f64::INFINITY);
}

fn non_finite_weights_stay_visible<T: Real>() {
    every::<T>(|text, penalty, w| {
        for bad in [T::nan(), T::infinity()] {
            let mut w = w.clone();
            let last = (w.nrows() - 1, w.ncols() - 1);
            w[last] = bad;
            penalty.prox(1.0, w.view_mut()).unwrap();
            let bounded = text.starts_with("box(-") && bad.is_infinite();
            assert_eq!(w.iter().all(|v| v.is_finite()), bounded, "{text} {bad}");
        }
    });
}

fn empty_spectra_and_zeros_are_fixed_points<T: Real>() {
    for (text, ..) in TABLE {
        if text.starts_with("box(0.5") {
            continue;
        }
        let (p, value) = prox(make::<T>(text).as_mut(), 1.0, &Array2::zeros((5, 3)));
        assert!(p.iter().all(|v| v.is_zero()) && value == 0.0, "{text}");
    }
}

#[test]
fn bounds_follow_the_gains_of_the_columns() {
    let (rows, columns) = (array![2.0, 0.5], [1.0, 10.0, 100.0]);
    let kind = PenaltyKind::Box { lower: -1.0, upper: 3.0 };
    let mut penalty = kind.make(Some(rows.view()), Some(&columns)).unwrap();
    for (fill, bound) in [(1e3, 3.0), (-1e3, -1.0)] {
        let mut w = Array2::from_elem((2, 3), fill);
        penalty.prox(1.0, w.view_mut()).unwrap();
        assert_eq!(penalty.value(w.view()).unwrap(), 0.0);
        for ((i, j), &w) in w.indexed_iter() {
            assert!((w * rows[i] * columns[j] - bound).abs() < 1e-12);
        }
        assert_eq!(penalty.value((&w * 1.01).view()).unwrap(), f64::INFINITY);
    }
}

#[test]
fn notation_is_read_and_written() {
    for (text, kind) in [
        ("ridge", PenaltyKind::Ridge),
        ("l1(strength=0.01)", PenaltyKind::L1 { strength: 0.01 }),
        ("elastic_net(2)", PenaltyKind::ElasticNet { strength: 2.0, l1_ratio: 0.5 }),
        ("elastic_net(2, l1_ratio=1)", PenaltyKind::ElasticNet { strength: 2.0, l1_ratio: 1.0 }),
        ("nonnegative", PenaltyKind::NonNegative),
        ("box(upper=1, lower=-inf)", PenaltyKind::Box { lower: f64::NEG_INFINITY, upper: 1.0 }),
        ("box(1, 1)", PenaltyKind::Box { lower: 1.0, upper: 1.0 }),
        ("nuclear(0)", PenaltyKind::Nuclear { strength: 0.0 }),
        ("rank(10)", PenaltyKind::Rank { limit: 10 }),
        ("sparse(0.9)", PenaltyKind::Sparse { share: 0.9 }),
    ] {
        assert_eq!(PenaltyKind::parse(text).unwrap(), kind, "{text}");
        assert_eq!(PenaltyKind::parse(&kind.to_string()).unwrap(), kind, "{kind}");
    }
    assert!(PenaltyKind::Ridge.make::<f64>(None, None).is_none());
}

#[test]
fn what_makes_no_sense_is_refused() {
    for text in [
        "l1",
        "l1(-1)",
        "l1(nan)",
        "l1(inf)",
        "l1(1, 2)",
        "elastic_net(-1)",
        "elastic_net(1, 1.1)",
        "elastic_net(1, -0.1)",
        "nonnegative(1)",
        "ridge(1)",
        "box",
        "box(1)",
        "box(1, 0)",
        "box(nan, 1)",
        "box(inf, inf)",
        "box(-inf, -inf)",
        "nuclear(-0.1)",
        "rank(0)",
        "rank(1.5)",
        "rank(-1)",
        "rank(nan)",
        "sparse(1)",
        "sparse(-0.1)",
        "sparse(nan)",
        "sparse(share=0.1, 2)",
    ] {
        let message = PenaltyKind::parse(text).unwrap_err().to_string();
        assert!(message.starts_with("penalty must be"), "{text}: {message}");
    }
    let message = PenaltyKind::parse("lasso(1)").unwrap_err().to_string();
    assert!(message.contains("'lasso'") && message.contains("elastic_net"), "{message}");
}

#[test]
fn strengths_are_divided_by_the_samples_and_sets_are_not() {
    let per_sample = |text: &str| PenaltyKind::parse(text).unwrap().per_sample(4.0).to_string();
    assert_eq!(per_sample("l1(1)"), "l1(0.25)");
    assert_eq!(per_sample("elastic_net(2, 0.3)"), "elastic_net(0.5, 0.3)");
    assert_eq!(per_sample("nuclear(2)"), "nuclear(0.5)");
    for text in ["nonnegative", "box(-1, 1)", "rank(8)", "sparse(0.5)", "ridge"] {
        assert_eq!(per_sample(text), text);
    }
}

proptest! {
    #[test]
    fn sparse_share_is_exact(rows in 1usize..30, columns in 1usize..30, percent in 0u32..100) {
        let share = f64::from(percent) / 100.0;
        let w = normal::<f32>(rows, columns, 1);
        let (p, _) = prox(PenaltyKind::Sparse { share }.make(None, None).unwrap().as_mut(), 1.0, &w);
        let zeros = p.iter().filter(|v| **v == 0.0).count();
        // In whole numbers: the least count of at least this share.
        let expected = (rows * columns * percent as usize).div_ceil(100);
        prop_assert_eq!(zeros, expected);
    }
}
