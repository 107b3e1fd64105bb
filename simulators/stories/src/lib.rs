//! The tutorial, and everything that can go wrong with a device, written once.
//!
//! A story runs on any [`Device`]: [the application on this machine](HostDevice), the firmware on QEMU (`qemu-board`),
//! the image of the AZ3166 on its simulated board (`virtual-az3166`). [`Bench`] is the device with a cloud on this
//! machine, [`Narrator`] prints the steps and names the one that fails. What only one of the boards can do (lost
//! frames, crashes by a debugger, the faults of a radio) is told where that board is.
#![forbid(unsafe_code)]

mod bench;
mod device;
pub mod faults;
pub mod generation;
mod host;
pub mod lamps;
mod narrator;
pub mod operation;
pub mod tutorial;

pub use bench::{Bench, DeviceUnderTest, PATIENCE, log_line};
pub use device::{Device, HostKeys, Off, Running};
pub use devkit_host::Terminal;
pub use host::HostDevice;
pub use narrator::{Narrator, line};
