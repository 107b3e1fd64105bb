//! Driver for the STSAFE-A100 secure element, async and blocking from one source, with a virtual chip to test against.
#![no_std]
#![forbid(unsafe_code)]
