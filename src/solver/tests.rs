//! Unit tests of the solver.
