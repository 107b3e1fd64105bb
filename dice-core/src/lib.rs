//! DICE identities for microcontrollers: from a unique device secret and a firmware measurement to keys and X.509 certificates, without an allocator.
#![no_std]
#![forbid(unsafe_code)]
