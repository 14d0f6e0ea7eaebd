//! The limit on threads that threadpoolctl and other libraries may set, one for the process.
//!
//! The C symbols are how threadpoolctl knows this library among those that are loaded.

use pyo3::prelude::*;
use std::ffi::c_int;
use std::sync::atomic::{AtomicI32, Ordering};

/// 0 is no limit.
static LIMIT: AtomicI32 = AtomicI32::new(0);

/// The most threads that a call may use; 0 where there is no limit.
#[unsafe(no_mangle)]
pub extern "C" fn liftnet_get_num_threads() -> c_int {
    LIMIT.load(Ordering::Relaxed)
}

/// Limits the threads of the calls to come; 0 and below lift the limit.
#[unsafe(no_mangle)]
pub extern "C" fn liftnet_set_num_threads(threads: c_int) {
    LIMIT.store(threads.max(0), Ordering::Relaxed);
}

#[pyfunction]
pub fn thread_limit() -> Option<c_int> {
    Some(liftnet_get_num_threads()).filter(|&limit| limit > 0)
}

#[pyfunction]
#[pyo3(signature = (limit))]
pub fn set_thread_limit(limit: Option<c_int>) {
    liftnet_set_num_threads(limit.unwrap_or(0));
}
