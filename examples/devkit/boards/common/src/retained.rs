//! The last time that was known, and a seed for the next run, in memory that a reset leaves alone. Power-off clears
//! both.

use core::mem::MaybeUninit;

use azure_iot_embassy::random::RANDOM;
use azure_iot_embassy::time::RetainedTime;

#[unsafe(link_section = ".uninit.RETAINED")]
static mut RETAINED: MaybeUninit<RetainedTime> = MaybeUninit::uninit();

fn retained() -> *mut RetainedTime {
    (&raw mut RETAINED).cast()
}

fn load() -> RetainedTime {
    // SAFETY: inside a critical section nothing else uses it. Any bits are a valid value, and the volatile read keeps
    // the compiler from knowing that they were never written in this run.
    critical_section::with(|_| unsafe { retained().read_volatile() })
}

/// The last time that was known before this start, or in this run: seconds since 1970.
#[must_use]
pub fn time() -> Option<u64> {
    load().time()
}

/// A seed that the previous run left for the random numbers of this one. It is not counted as entropy.
#[must_use]
pub fn seed() -> [u8; 32] {
    *load().seed()
}

/// Stores the time, and a seed made in this run.
pub fn store(time: u64) {
    let mut seed = [0; 32];
    // Without random numbers there is nothing to keep of them.
    let _ = RANDOM.fill(&mut seed);
    // SAFETY: as in `load`.
    critical_section::with(|_| unsafe { retained().write_volatile(RetainedTime::new(time, seed)) });
}
