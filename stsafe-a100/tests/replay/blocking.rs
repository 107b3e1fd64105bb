//! The calls, blocking.

use stsafe_a100::blocking::Stsafe;
use stsafe_a100_macros::strip as front;

#[allow(clippy::duplicate_mod)] // one source, two fronts
#[path = "calls.rs"]
pub(crate) mod calls;

#[allow(clippy::duplicate_mod)]
#[path = "forged.rs"]
pub(crate) mod forged;
