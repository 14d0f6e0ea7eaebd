//! Rates of the kernels that fits are made of, at the sizes of 784-300-10 on MNIST, and of one large
//! product: the peak.
//!
//! Operations are counted as throughput, two for each multiply-add, so that criterion's "elements per
//! second" are operations per second. `MICRO_THREADS` sets the size of the pool.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use liftnet::activation::{ActivationKind, Divergence, Tie};
use liftnet::kernel::activation_block::pull_back;
use liftnet::kernel::weight_block::gradient;
use liftnet::linalg::{Threads, add_upper_gram, damped_inverse, product};
use liftnet::loss::{LossKind, Targets};
use ndarray::{Array2, s};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::hint::black_box;

/// Rows of a batch, and of the chunk of it that one thread works on.
const BATCH: usize = 512;
const CHUNK: usize = 128;
/// Directions of MNIST that are kept, and the units of both layers.
const DIRECTIONS: usize = 151;
const UNITS: usize = 300;
const CLASSES: usize = 10;
/// Features of MNIST.
const FEATURES: usize = 784;
/// Rows and columns of the product that stands for the peak.
const PEAK: usize = 2048;

fn normal(rows: usize, columns: usize, seed: u64) -> Array2<f32> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    Array2::from_shape_simple_fn((rows, columns), || {
        let value: f64 = StandardNormal.sample(&mut rng);
        value as f32
    })
}

/// C ← A B.
fn multiply(a: &Array2<f32>, b: &Array2<f32>, c: &mut Array2<f32>, threads: Threads) {
    product(1.0, a.view(), b.view(), 0.0, c.view_mut(), threads);
}

fn kernels(criterion: &mut Criterion) {
    let threads = std::env::var("MICRO_THREADS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().expect("a pool of threads");
    let mut group = criterion.benchmark_group("kernels");
    let mut bench = |name: &str, operations: usize, routine: &mut dyn FnMut()| {
        group.throughput(Throughput::Elements(operations as u64));
        group.bench_function(name, |bencher| bencher.iter(&mut *routine));
    };

    let (a, b) = (normal(PEAK, PEAK, 0), normal(PEAK, PEAK, 1));
    let mut c = Array2::zeros((PEAK, PEAK));
    bench("peak", 2 * PEAK.pow(3), &mut || multiply(&a, &b, &mut c, Threads::All));

    // One chunk, on one thread whatever the pool.
    let (x, w) = (normal(CHUNK, DIRECTIONS + 1, 2), normal(DIRECTIONS + 1, UNITS, 3));
    let mut z = Array2::zeros((CHUNK, UNITS));
    let forward = 2 * CHUNK * (DIRECTIONS + 1) * UNITS;
    bench("forward, first layer", forward, &mut || multiply(&x, &w, &mut z, Threads::One));

    let (h, v) = (normal(CHUNK, UNITS + 1, 4), normal(UNITS + 1, CLASSES, 5));
    let mut logits = Array2::zeros((CHUNK, CLASSES));
    let output = 2 * CHUNK * (UNITS + 1) * CLASSES;
    bench("forward, output layer", output, &mut || multiply(&h, &v, &mut logits, Threads::One));

    let delta = normal(CHUNK, CLASSES, 6);
    let mut back = Array2::zeros((CHUNK, UNITS));
    let above = v.slice(s![..UNITS, ..]);
    bench("back, output layer", 2 * CHUNK * UNITS * CLASSES, &mut || {
        product(1.0, delta.view(), above.t(), 0.0, back.view_mut(), Threads::One);
    });

    let tie = Tie::<f32>::new(ActivationKind::Relu, Divergence::Fenchel);
    let positive = z.mapv(|v: f32| v.max(0.0));
    let entry = normal(CHUNK, UNITS, 7);
    let mut g = entry.clone();
    // A quotient, a difference, φ, a difference and a product.
    bench("activation block, relu", 5 * CHUNK * UNITS, &mut || {
        g.assign(&entry);
        black_box(pull_back(&tie, z.view(), positive.view(), 10.0, g.view_mut(), |_| 1.0));
    });

    let loss = LossKind::SOFTMAX.make::<f32>();
    let labels: Vec<u32> = (0..CHUNK as u32).map(|i| i % CLASSES as u32).collect();
    let targets = Targets::Classes(&labels);
    // A maximum, a difference, an exponential for one, a sum, a quotient and a difference.
    bench("softmax loss", 6 * CHUNK * CLASSES, &mut || {
        for (row, mut z) in logits.rows_mut().into_iter().enumerate() {
            let z = z.as_slice_mut().expect("contiguous rows");
            black_box(loss.value_and_gradient(&targets, row, z));
        }
    });

    // Whole batches, on all threads.
    let chunks: Vec<_> =
        (0..BATCH / CHUNK).map(|i| (x.clone(), normal(CHUNK, UNITS, 10 + i as u64))).collect();
    let mut slope = Array2::zeros((DIRECTIONS + 1, UNITS));
    bench("weight block, gradient of the first layer", 2 * BATCH * (DIRECTIONS + 1) * UNITS, &mut || {
        let pairs = chunks.iter().map(|(x, delta)| (x.view(), delta.view()));
        gradient(pairs, w.view(), 1.0 / BATCH as f32, 1e-4, slope.view_mut(), Threads::All);
    });

    let hidden = normal(1024, UNITS + 1, 8);
    let mut gram = Array2::zeros((UNITS + 1, UNITS + 1));
    add_upper_gram(1.0 / 1024.0, hidden.view(), gram.view_mut(), Threads::All);
    liftnet::linalg::mirror(&mut gram);
    let damping = vec![0.1_f32; UNITS + 1];
    // A third of it for the factor, two thirds for the inverse, two operations each.
    bench("metric, inverse", 2 * (UNITS + 1).pow(3), &mut || {
        black_box(damped_inverse(gram.view(), &damping, Threads::All).expect("a definite matrix"));
    });

    let rows = normal(4096, FEATURES, 9);
    let mut upper = Array2::zeros((FEATURES, FEATURES));
    bench("input map, Gram matrix", rows.nrows() * FEATURES * (FEATURES + 1), &mut || {
        add_upper_gram(1.0, rows.view(), upper.view_mut(), Threads::All);
    });
    group.finish();
}

criterion_group!(benches, kernels);
criterion_main!(benches);
