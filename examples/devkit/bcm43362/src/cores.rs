//! The chip's cores in their wrappers: reset, clock, halt.

use embedded_hal_async::delay::DelayNs;

use crate::backplane::Backplane;
use crate::bus::SdioBus;
use crate::error::BusError;
use crate::registers::chip::{
    ARM_WRAPPER, CLOCK_ENABLE, FORCE_GATED_CLOCK, IO_CONTROL, RESET, RESET_CONTROL, SOCSRAM_WRAPPER,
};

/// Polls of a core's reset, a millisecond apart.
const RESET_POLLS: u32 = 10;

/// A core of the chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Core {
    /// The processor.
    Arm,
    /// The memory.
    SocSram,
}

impl Core {
    const fn register(self, offset: u32) -> u32 {
        match self {
            Self::Arm => ARM_WRAPPER + offset,
            Self::SocSram => SOCSRAM_WRAPPER + offset,
        }
    }
}

impl<B: SdioBus, D: DelayNs> Backplane<B, D> {
    /// Puts a core into reset and takes its clock away.
    pub(crate) async fn stop(&mut self, core: Core) -> Result<(), BusError<B::Error>> {
        if !self.is_in_reset(core).await? {
            self.set_reset(core, true).await?;
        }
        self.control(core, 0).await
    }

    /// Takes a core through reset and lets it run.
    pub(crate) async fn restart(&mut self, core: Core) -> Result<(), BusError<B::Error>> {
        self.stop(core).await?;
        self.control(core, FORCE_GATED_CLOCK | CLOCK_ENABLE).await?;
        self.set_reset(core, false).await?;
        self.control(core, CLOCK_ENABLE).await
    }

    /// Whether a core runs.
    pub(crate) async fn is_up(&mut self, core: Core) -> Result<bool, BusError<B::Error>> {
        let control = self.get(core.register(IO_CONTROL)).await?;
        let is_clocked = control & (FORCE_GATED_CLOCK | CLOCK_ENABLE) == CLOCK_ENABLE;
        Ok(is_clocked && !self.is_in_reset(core).await?)
    }

    async fn is_in_reset(&mut self, core: Core) -> Result<bool, BusError<B::Error>> {
        Ok(self.get(core.register(RESET_CONTROL)).await? & RESET != 0)
    }

    /// Sets clock and halt, and reads them back so that they have arrived.
    async fn control(&mut self, core: Core, bits: u32) -> Result<(), BusError<B::Error>> {
        self.put(core.register(IO_CONTROL), bits).await?;
        self.get(core.register(IO_CONTROL)).await?;
        self.card.delay.delay_us(1).await;
        Ok(())
    }

    async fn set_reset(&mut self, core: Core, reset: bool) -> Result<(), BusError<B::Error>> {
        self.put(core.register(RESET_CONTROL), if reset { RESET } else { 0 }).await?;
        for _ in 0..RESET_POLLS {
            if self.is_in_reset(core).await? == reset {
                return Ok(());
            }
            self.card.delay.delay_ms(1).await;
        }
        Err(self.card.timeout())
    }
}
