//! What the benchmarks share: the derivations of `dice-core` on the primitives of other libraries.

pub mod derivation;
pub mod primitives;
