//! DER without an allocator: writing into a caller's buffer, reading from borrowed bytes.

pub mod oid;
mod reader;
mod writer;

pub use reader::{BitString, DerReader};
pub use writer::DerWriter;
