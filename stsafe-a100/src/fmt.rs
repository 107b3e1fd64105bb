//! Tracing through `log` and `defmt`, whichever is switched on. Never given data or keys.

macro_rules! trace {
    ($text:literal $(, $value:expr)*) => {{
        #[cfg(feature = "log")]
        log::trace!($text $(, $value)*);
        #[cfg(feature = "defmt")]
        defmt::trace!($text $(, $value)*);
        #[cfg(not(any(feature = "log", feature = "defmt")))]
        let _ = ($(&$value,)*);
    }};
}

pub(crate) use trace;
