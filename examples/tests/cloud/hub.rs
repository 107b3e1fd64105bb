//! The hub's strictness.
