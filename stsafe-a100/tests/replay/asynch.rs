//! The calls, async.

use stsafe_a100::asynch::Stsafe;
use stsafe_a100_macros::keep as front;

#[path = "calls.rs"]
pub(crate) mod calls;

#[path = "forged.rs"]
pub(crate) mod forged;
