//! LAPACK on one thread.
//!
//! OpenBLAS would start threads of its own: beside those of the pool, slower for matrices as small
//! as ours, and with sums whose order, and so last bits, depend on their number.

/// Runs calls of LAPACK while OpenBLAS keeps to the calling thread.
pub fn lapack<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(any(feature = "openblas-system", feature = "openblas-static"))]
    let _alone = openblas::Alone::new();
    work()
}

#[cfg(any(feature = "openblas-system", feature = "openblas-static"))]
mod openblas {
    use std::ffi::c_int;
    use std::sync::{Mutex, PoisonError};

    unsafe extern "C" {
        safe fn openblas_get_num_threads() -> c_int;
        safe fn openblas_set_num_threads(threads: c_int);
    }

    /// How many calls are under way, and how many threads OpenBLAS had before the first of them.
    ///
    /// Its setting is one for the process, which others may share.
    static UNDER_WAY: Mutex<(usize, c_int)> = Mutex::new((0, 1));

    /// While one lives, OpenBLAS has one thread.
    pub struct Alone;

    impl Alone {
        pub fn new() -> Self {
            let mut state = UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner);
            if state.0 == 0 {
                state.1 = openblas_get_num_threads();
                if state.1 != 1 {
                    openblas_set_num_threads(1);
                }
            }
            state.0 += 1;
            Self
        }
    }

    impl Drop for Alone {
        fn drop(&mut self) {
            let mut state = UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner);
            state.0 -= 1;
            // A limit that somebody else has set meanwhile stays.
            if state.0 == 0 && state.1 != 1 && openblas_get_num_threads() == 1 {
                openblas_set_num_threads(state.1);
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::super::lapack;
        use super::{UNDER_WAY, openblas_get_num_threads, openblas_set_num_threads};
        use std::sync::PoisonError;
        use std::thread::sleep;
        use std::time::Duration;

        /// A limit that is set while others are under way stays, so this waits for a moment without.
        fn set_between_calls(threads: i32) {
            loop {
                let state = UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner);
                if state.0 == 0 {
                    return openblas_set_num_threads(threads);
                }
                drop(state);
                sleep(Duration::from_millis(1));
            }
        }

        #[test]
        fn one_thread_inside_and_as_many_as_before_afterwards() {
            // Tests beside this one call LAPACK too, so that the limit may be lifted later.
            set_between_calls(3);
            assert_eq!(lapack(|| lapack(|| openblas_get_num_threads())), 1);
            let failing = || lapack(|| std::panic::resume_unwind(Box::new("on the way")));
            assert!(std::panic::catch_unwind(failing).is_err());
            let restored = (0..500).any(|_| {
                sleep(Duration::from_millis(10));
                openblas_get_num_threads() == 3
            });
            assert!(restored);
        }
    }
}
