//! The sensors, register by register: identity, configuration, data and its readiness.
//!
//! Each measures the values it was given, in the units and resolution of its silicon, when time passes on the bus at
//! the rate its driver has set, or once when asked. Interrupts, FIFOs, filters, offsets and self-tests are not
//! modelled; their registers can be written and read. Time must pass: without [`crate::Bus::elapse`] no measurement
//! ends.

mod hts221;
mod lis2mdl;
mod lps22hb;
mod lsm6dsl;
mod registers;

pub use hts221::Hts221;
pub use lis2mdl::Lis2mdl;
pub use lps22hb::Lps22hb;
pub use lsm6dsl::Lsm6dsl;
