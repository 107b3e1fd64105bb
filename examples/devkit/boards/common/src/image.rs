//! The firmware image as it lies in flash: the bytes of the `.bin` file.

unsafe extern "C" {
    static __vector_table: u8;
    static __sidata: u8;
    static __sdata: u8;
    static __edata: u8;
}

/// Length of the image in bytes: from the vector table to the last initial value of the statics.
#[must_use]
pub fn length() -> usize {
    let initial_values = &raw const __edata as usize - &raw const __sdata as usize;
    &raw const __sidata as usize - &raw const __vector_table as usize + initial_values
}
