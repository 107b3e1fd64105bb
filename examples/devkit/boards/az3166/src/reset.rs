//! Why the chip was reset, as its own flags tell; they stay until they are cleared or the power goes.

use embassy_stm32::pac::RCC;

/// Whether the independent watchdog has bitten.
pub(crate) fn by_watchdog() -> bool {
    RCC.csr().read().wdgrstf()
}

/// Clears the flags.
pub(crate) fn forget() {
    RCC.csr().modify(|register| register.set_rmvf(true));
    RCC.csr().modify(|register| register.set_rmvf(false));
}
