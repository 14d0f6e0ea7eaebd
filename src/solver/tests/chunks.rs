//! A batch is cut into chunks and its buffers are used again: neither may show.

use super::super::pass::Batch;
use super::{Setup, distance, for_both};
use crate::loss::LossKind;
use crate::real::Real;
use ndarray::Array2;

/// Around multiples of the chunk.
const SIZES: [usize; 6] = [1, 127, 128, 129, 256, 300];

for_both!(
    batches_of_any_size_are_means_of_single_rows,
    buffers_do_not_remember,
    evaluation_takes_more_rows_than_a_batch,
    grams_are_weighted_means_and_leave_no_trace,
    null_loss_is_that_of_nothing,
);

fn batch_gradients<T: Real>(
    setup: &mut Setup<T>,
    batch: &mut Batch<T>,
    rows: &[usize],
) -> (f64, Vec<Array2<T>>) {
    setup.run(|layers, data| {
        let totals = batch.gradients(layers, data, rows, 0.3);
        (totals.mean_loss(), layers.iter().map(|layer| layer.gradient.clone()).collect())
    })
}

fn batches_of_any_size_are_means_of_single_rows<T: Real>() {
    // Few chunks take their parts of the gradient themselves, many do not.
    for (n, sizes) in [(300, &SIZES[..]), (1300, &[1300])] {
        for weighted in [false, true] {
            means_of_single_rows::<T>(n, sizes, weighted);
        }
    }
}

fn means_of_single_rows<T: Real>(n: usize, sizes: &[usize], weighted: bool) {
    let mut setup =
        Setup::<T>::new(LossKind::SOFTMAX, &[5, 4], n, weighted, |spec| spec.batch_size = Some(n));
    let mut single = Batch::new(&setup.layers, &setup.options);
    let singles: Vec<_> = (0..n).map(|row| batch_gradients(&mut setup, &mut single, &[row])).collect();
    for &size in sizes {
        // Rows in an order of their own, the last chunk partly filled.
        let rows: Vec<usize> = (0..size).map(|i| (i * 7 + 3) % n).collect();
        let mut batch = Batch::new(&setup.layers, &setup.options);
        let (loss, gradients) = batch_gradients(&mut setup, &mut batch, &rows);
        let mean = rows.iter().map(|&row| singles[row].0).sum::<f64>() / size as f64;
        assert!((loss - mean).abs() <= 30.0 * T::epsilon().f64(), "{size}: loss {loss} not {mean}");
        for (l, gradient) in gradients.iter().enumerate() {
            let sum = rows
                .iter()
                .fold(Array2::<f64>::zeros(gradient.dim()), |sum, &row| sum + singles[row].1[l].mapv(T::f64));
            let wrong = distance(gradient.view(), (sum / size as f64).view());
            assert!(wrong <= 50.0 * T::epsilon().f64(), "{size} rows, layer {l}: off by {wrong}");
        }
    }
}

/// A full batch first, a short one after it: the same bits as from fresh buffers.
fn buffers_do_not_remember<T: Real>() {
    let mut setup = Setup::<T>::new(LossKind::Squared, &[5, 4], 300, true, |_| {});
    let all: Vec<usize> = (0..300).collect();
    let mut used = Batch::new(&setup.layers, &setup.options);
    batch_gradients(&mut setup, &mut used, &all);
    for rows in [&all[40..45], &all[..129], &all[299..]] {
        let again = batch_gradients(&mut setup, &mut used, rows);
        let mut fresh = Batch::new(&setup.layers, &setup.options);
        assert_eq!(again, batch_gradients(&mut setup, &mut fresh, rows));
    }
}

fn evaluation_takes_more_rows_than_a_batch<T: Real>() {
    let mut setup = Setup::<T>::new(LossKind::SOFTMAX, &[5], 300, true, |_| {});
    let mut small = Setup::<T>::new(LossKind::SOFTMAX, &[5], 300, true, |spec| spec.batch_size = Some(10));
    let rows: Vec<usize> = (0..300).rev().collect();
    let evaluate = |setup: &mut Setup<T>| {
        let mut batch = Batch::new(&setup.layers, &setup.options);
        let totals = setup.run(|layers, data| batch.evaluate(layers, data, &rows));
        (totals.mean_loss(), totals.mean_score())
    };
    let (loss, score) = evaluate(&mut setup);
    let (small_loss, small_score) = evaluate(&mut small);
    assert!((loss - small_loss).abs() <= 1e-12 && (score - small_score).abs() <= 1e-12);
    // Weights of mean 1, scores 0 or 1.
    assert!(score > 0.0 && score < 1.0 && loss > 0.0);
}

fn grams_are_weighted_means_and_leave_no_trace<T: Real>() {
    for weighted in [false, true] {
        for size in SIZES {
            let mut setup = Setup::<T>::new(LossKind::Squared, &[5, 4], 300, weighted, |_| {});
            let rows: Vec<usize> = (0..size).map(|i| (i * 11 + 2) % 300).collect();
            let mut batch = Batch::new(&setup.layers, &setup.options);
            let before = batch_gradients(&mut setup, &mut batch, &rows);
            let grams = setup.run(|layers, data| batch.grams(layers, data, &rows));
            assert_eq!(before, batch_gradients(&mut setup, &mut batch, &rows), "{size}: a trace was left");

            let phi = setup.options.activations[0].elementwise::<f64>().unwrap();
            let mut x = setup.inputs.mapv(T::f64);
            assert_eq!(grams.len(), 2, "the first layer has none");
            for (layer, gram) in setup.layers.iter().zip(&grams) {
                let z = x.dot(&layer.weights.mapv(T::f64));
                x = Array2::ones((300, z.ncols() + 1));
                x.slice_mut(ndarray::s![.., ..-1]).assign(&z.mapv(|z| phi.phi(z)));
                let mut expected = Array2::<f64>::zeros(gram.dim());
                for &row in &rows {
                    let weight = setup.weights.as_ref().map_or(1.0, |weights| weights[row].f64());
                    for (i, j) in (0..x.ncols()).flat_map(|i| (0..x.ncols()).map(move |j| (i, j))) {
                        expected[[i, j]] += weight * x[[row, i]] * x[[row, j]] / size as f64;
                    }
                }
                let wrong = distance(gram.view(), expected.view());
                assert!(wrong <= 50.0 * T::epsilon().f64(), "{size} rows, {weighted}: off by {wrong}");
            }
        }
    }
}

/// The loss of logits 0, whatever the weights: that of the constant prediction.
fn null_loss_is_that_of_nothing<T: Real>() {
    for &loss in LossKind::ALL {
        let mut setup = Setup::<T>::new(loss, &[5], 60, true, |_| {});
        let rows: Vec<usize> = (0..60).collect();
        let mut batch = Batch::new(&setup.layers, &setup.options);
        let null = setup.run(|layers, data| batch.evaluate(layers, data, &rows).null_loss());
        setup.layers.iter_mut().for_each(|layer| layer.weights.fill(T::zero()));
        let nothing = setup.run(|layers, data| batch.evaluate(layers, data, &rows));
        let allowed = 50.0 * T::epsilon().f64() * (1.0 + null);
        assert!((null - nothing.mean_loss()).abs() <= allowed, "{loss:?}");
        assert_eq!(null, nothing.null_loss(), "{loss:?}");
        assert!(null > 0.1, "{loss:?}");
    }
}
