//! Log lines for the crate `log` or `defmt`, whichever is switched on; without both nothing is left of them.

/// Something of interest to who debugs.
macro_rules! debug {
    ($($argument:tt)*) => {{
        #[cfg(feature = "log")]
        log::debug!($($argument)*);
        #[cfg(feature = "defmt")]
        defmt::debug!($($argument)*);
    }};
}

/// Something that went wrong and is going to be tried again, or told as an error.
macro_rules! warning {
    ($($argument:tt)*) => {{
        #[cfg(feature = "log")]
        log::warn!($($argument)*);
        #[cfg(feature = "defmt")]
        defmt::warn!($($argument)*);
    }};
}

pub(crate) use {debug, warning};
