//! The whole application on the host's board: virtual peripherals, and where it needs one a local cloud.

mod bench;
mod cloud;
mod console;
mod generations;
mod issued;
mod start;
