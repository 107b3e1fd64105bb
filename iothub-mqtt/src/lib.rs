//! Azure IoT Hub device client over any async byte stream, without an allocator.
#![no_std]
#![forbid(unsafe_code)]
