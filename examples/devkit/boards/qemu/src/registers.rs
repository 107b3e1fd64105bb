//! Access to device registers of mps2-an386 (Arm application note AN386, chapters 3 and 4).

/// A 32-bit device register.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Register(*mut u32);

// SAFETY: a register's address; who may use it when is said where it is used.
unsafe impl Sync for Register {}
// SAFETY: as above.
unsafe impl Send for Register {}

impl Register {
    /// The register at this address.
    ///
    /// # Safety
    /// There is a device register at `address` of the board this runs on, and touching it breaks nothing that the
    /// compiler relies on.
    pub(crate) const unsafe fn at(address: usize) -> Self {
        Self(address as *mut u32)
    }

    pub(crate) fn read(self) -> u32 {
        // SAFETY: `at`'s caller vouched for the register.
        unsafe { self.0.read_volatile() }
    }

    pub(crate) fn write(self, value: u32) {
        // SAFETY: `at`'s caller vouched for the register.
        unsafe { self.0.write_volatile(value) }
    }
}
