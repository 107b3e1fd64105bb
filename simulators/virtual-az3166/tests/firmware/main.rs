//! The firmware image that is flashed, on the simulated board.
//!
//! The image is what the environment variable `AZ3166_IMAGE` names; without it, it is built first, by
//! `tools/firmware az3166`.

mod brown_out;
mod console;
mod device;
mod faults;
mod host_keys;
mod joining;
mod online;
