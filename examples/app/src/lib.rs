//! The DevKit application, independent of the board it runs on.
#![no_std]
#![forbid(unsafe_code)]
