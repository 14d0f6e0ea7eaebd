//! Each part by itself: the whole would hide a bad guess behind exchanges, and exchanges that cycle
//! need a start that no guess gives.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::newton::Newton;
use super::*;
use ndarray::array;
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;

fn normal<T: Real>(rows: usize, columns: usize, seed: u64) -> Array2<T> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    Array2::from_shape_simple_fn((rows, columns), || {
        let value: f64 = StandardNormal.sample(&mut rng);
        T::of(value)
    })
}

fn prepare<T: Real>(a: &Array2<T>, low: f64, high: f64) -> BoundedLeastSquares<T> {
    let n = a.ncols();
    let bounds = [low, high].map(|v| Array1::from_elem(n, T::of(v)));
    let [lower, upper] = bounds;
    BoundedLeastSquares::new(a.t().dot(a).view(), Bounds::new(lower, upper).unwrap()).unwrap()
}

/// The tile of right sides `b` (one a row) and its points, all nearest to zero.
fn tile<T: Real>(prepared: &BoundedLeastSquares<T>, a: &Array2<T>, b: &Array2<T>) -> Tile<T> {
    let rhs = b.dot(a);
    prepared.tile(rhs.view(), Array2::zeros(rhs.raw_dim()).view())
}

fn solve_by_exchanges<T: Real>(
    problem: &Problem<T>,
    tile: Tile<T>,
    stopping: Stopping<'_>,
) -> (Array2<T>, Report) {
    let mut solution = Array2::from_elem(tile.x.raw_dim(), T::nan());
    let report = Pivoting::new(problem, tile).solve(stopping, |row, x| solution.row_mut(row).assign(&x));
    (solution, report)
}

fn solve_by_steps<T: Real>(problem: &Problem<T>, mut tile: Tile<T>, tol: f64) -> Array2<T> {
    let mut newton = Newton::new(problem);
    for (x, c) in tile.x.rows_mut().into_iter().zip(tile.c.rows()) {
        let report = newton.solve(x, c, 0, Stopping::new(tol, 100));
        assert!(report.converged && report.n_iter > 0, "{report:?}");
    }
    tile.x
}

fn apart<T: Real>(a: &Array2<T>, b: &Array2<T>) -> f64 {
    a.iter().zip(b).fold(0.0, |top: f64, (&a, &b)| match (a - b).f64().abs() {
        apart if apart <= top => top,
        apart => apart, // NaN too
    })
}

fn all_ways_end_at_the_solution<T: Real>() {
    let (a, b) = (normal::<T>(60, 30, 0), normal::<T>(100, 60, 1));
    let (tol, tolerance) = (1e2 * T::epsilon().f64(), 1e4 * T::epsilon().f64());
    for (low, high) in [(0.0, f64::INFINITY), (-0.05, 0.1), (f64::NEG_INFINITY, 0.0)] {
        let prepared = prepare(&a, low, high);
        let start = tile(&prepared, &a, &b);
        let (exchanged, report) =
            solve_by_exchanges(&prepared.problem, start.clone(), Stopping::new(tol, 100));
        assert!(report.converged && report.n_iter > 1, "{report:?}");
        let stepped = solve_by_steps(&prepared.problem, start, tol);
        assert!(apart(&exchanged, &stepped) < tolerance);
        let mut solution = Array2::zeros(exchanged.raw_dim());
        prepared.solve(b.dot(&a).view(), solution.view_mut(), Stopping::new(tol, 100)).unwrap();
        assert!(apart(&(exchanged * &prepared.scale), &solution) < tolerance);
    }
}

#[test]
fn all_ways_end_at_the_solution_single() {
    all_ways_end_at_the_solution::<f32>();
}

#[test]
fn all_ways_end_at_the_solution_double() {
    all_ways_end_at_the_solution::<f64>();
}

#[test]
fn right_sides_that_cycle_are_newtons() {
    // From no free unknown, exchanges for the first right side come back to the same ones.
    let a = array![[-2.0, 0.0, 2.0], [3.0, 2.0, -1.0], [3.0, 3.0, -1.0]];
    let b = array![[1.0, 2.0, 0.5], [-3.0, 2.0, 0.0], [0.3, -1.0, 2.0], [-3.0, 2.0, 0.0], [0.0, 0.0, 0.0]];
    let prepared = prepare(&a, 0.0, f64::INFINITY);
    let start = tile(&prepared, &a, &b);
    let (solution, report) = solve_by_exchanges(&prepared.problem, start.clone(), Stopping::new(1e-12, 50));
    assert!(report.converged && report.n_iter > 4 && report.n_iter < 20, "{report:?}");
    for (x, c) in solution.rows().into_iter().zip(start.c.rows()) {
        let gradient = prepared.problem.gram.dot(&x) - c;
        assert!(prepared.problem.residual(x, c, gradient.view()) < 1e-12);
        assert!(x.iter().all(|&v| v >= 0.0));
    }
    // Without steps left for Newton, the start.
    let (solution, report) = solve_by_exchanges(&prepared.problem, start, Stopping::new(1e-12, 3));
    assert!(!report.converged);
    assert!(solution.row(1).iter().all(|&v| v == 0.0));
}

fn dependent_columns_share_the_step<T: Real>() {
    // Each column twice: the shortest step is the same for both.
    let a = normal::<T>(20, 6, 0);
    let twice = ndarray::concatenate![Axis(1), a, a];
    let prepared = prepare(&twice, f64::NEG_INFINITY, f64::INFINITY);
    let start = tile(&prepared, &twice, &normal(1, 20, 1));
    let mut system = free_system::FreeSystem::new();
    system.choose(12, |_| true);
    let gradient = start.c.row(0).mapv(|c| -c);
    system.solve(&prepared.problem, gradient.view());
    let step = Array1::from(system.step.clone());
    let left = (prepared.problem.gram.dot(&step) + &gradient).insert_axis(Axis(0));
    let tolerance = 1e2 * T::epsilon().f64();
    assert!(apart(&left, &Array2::zeros((1, 12))) < tolerance);
    for i in 0..6 {
        assert!((step[i] - step[i + 6]).f64().abs() < tolerance.sqrt());
    }
}

#[test]
fn dependent_columns_share_the_step_single() {
    dependent_columns_share_the_step::<f32>();
}

#[test]
fn dependent_columns_share_the_step_double() {
    dependent_columns_share_the_step::<f64>();
}

#[test]
fn guesses_find_nearly_all_active_bounds() {
    let b = normal::<f64>(40, 120, 1);
    for a in [normal(120, 60, 0), normal(120, 60, 0).mapv(f64::abs), normal(60, 60, 0)] {
        let b = b.slice(s![.., ..a.nrows()]).to_owned();
        for (low, high) in [(0.0, f64::INFINITY), (-0.1, 0.05)] {
            let prepared = prepare(&a, low, high);
            let mut guess = tile(&prepared, &a, &b);
            prepared.splitting.guess(&prepared.problem, &mut guess, &|| false);
            let (solution, _) =
                solve_by_exchanges(&prepared.problem, guess.clone(), Stopping::new(1e-12, 100));
            let wrong = |guess: &Array2<f64>| {
                let Bounds { lower, upper } = &prepared.problem.bounds;
                let held = |x: f64, i: usize| is_bound(x, (lower[i], upper[i]));
                let pairs = guess.indexed_iter().zip(&solution);
                pairs.filter(|&(((_, i), &x), &y)| held(x, i) != held(y, i)).count()
            };
            assert!(wrong(&guess.x) < solution.len() / 200, "{}", wrong(&guess.x));
            // At a solution it stays, which it would not from the wrong multipliers.
            guess.x.assign(&solution);
            prepared.splitting.try_out(&prepared.problem, &mut guess);
            assert_eq!(wrong(&guess.x), 0);
            assert!(apart(&guess.x, &solution) < 1e-4);
        }
    }
}

#[test]
fn couplings_are_tried_out_where_there_are_many_right_sides() {
    let plain = normal::<f64>(60, 40, 0);
    let positive = plain.mapv(f64::abs);
    let solutions = normal::<f64>(100, 40, 1).mapv(|v| v.max(0.0));
    for (a, b, other) in
        [(&plain, normal(100, 60, 2), false), (&positive, solutions.dot(&positive.t()), true)]
    {
        let (prepared, rhs) = (prepare(a, 0.0, f64::INFINITY), b.dot(a));
        let start = Array2::zeros(rhs.raw_dim());
        let choice =
            |rows| prepared.choose_splitting(rhs.slice(s![..rows, ..]), start.slice(s![..rows, ..])).unwrap();
        assert_eq!(choice(100).is_some(), other);
        assert_eq!(choice(SAMPLE).is_some(), other);
        assert!(choice(SAMPLE - 1).is_none());
    }
}

#[test]
fn linear_terms_of_any_size_have_guesses() {
    let (a, b) = (normal::<f64>(30, 12, 0), normal::<f64>(80, 30, 1));
    let prepared = prepare(&a, 0.0, f64::INFINITY);
    let solve = |rhs: &Array2<f64>| {
        let mut x = Array2::zeros(rhs.raw_dim());
        let report = prepared.solve(rhs.view(), x.view_mut(), Stopping::new(1e-12, 100)).unwrap();
        assert!(report.converged, "{report:?}");
        (x, report.n_iter)
    };
    let rhs = b.dot(&a);
    let (plain, n_iter) = solve(&rhs);
    // Beyond single precision, powers of 2 so that nothing is rounded.
    for unit in [2f64.powi(-400), 2f64.powi(400)] {
        let (x, same) = solve(&(&rhs * unit));
        assert!(apart(&(x / unit), &plain) < 1e-13);
        assert_eq!(same, n_iter);
    }
    // Right sides beside which the others vanish in single precision.
    let mut mixed = rhs.clone();
    mixed.rows_mut().into_iter().step_by(2).for_each(|mut row| row *= 2f64.powi(400));
    let (mut x, _) = solve(&mixed);
    x.rows_mut().into_iter().step_by(2).for_each(|mut row| row /= 2f64.powi(400));
    assert!(apart(&x, &plain) < 1e-13);
}
