//! Addresses and bits, by the space they are in.

/// Common registers of the card, in function 0.
pub mod card {
    /// Which functions are to work: bit 1 backplane, bit 2 WLAN.
    pub const IO_ENABLE: u32 = 0x02;
    /// Which of them do.
    pub const IO_READY: u32 = 0x03;
    /// Aborts the transfer of the function with the number written.
    pub const IO_ABORT: u32 = 0x06;
    /// In [`IO_ABORT`]: resets the card.
    pub const IO_ABORT_RESET: u8 = 0x08;
    /// Which functions may interrupt.
    pub const INTERRUPT_ENABLE: u32 = 0x04;
    /// In [`INTERRUPT_ENABLE`]: the card as a whole, and the WLAN function.
    pub const INTERRUPT_WLAN: u8 = 0x05;
    /// The interrupt at the radio's own pin, GPIO0.
    pub const INTERRUPT_PIN: u32 = 0xF2;
    /// In [`INTERRUPT_PIN`]: it is used instead of the SDIO line, it is driven, and high means that there is one.
    pub const PIN_ENABLE_HIGH: u8 = 0x07;
    /// Width of the bus and pull-up of the detect line.
    pub const BUS_INTERFACE: u32 = 0x07;
    /// In [`BUS_INTERFACE`]: four data lines.
    pub const BUS_WIDTH_4: u8 = 0x02;
    /// In [`BUS_INTERFACE`]: the bits of the width.
    pub const BUS_WIDTH_MASK: u8 = 0x03;

    /// Where the block size of a function is, two bytes.
    #[must_use]
    pub const fn block_size(function: u8) -> u32 {
        0x100 * function as u32 + 0x10
    }
}

/// The backplane function's own registers, in function 1.
pub mod backplane {
    /// Bytes of the window at the function's first addresses through which the backplane is seen.
    pub const WINDOW: u32 = 0x8000;
    /// Added to an address within the window: accesses of 32 bits instead of 8.
    pub const ACCESS_32: u32 = 0x8000;
    /// Frames function 2 keeps before it interrupts the sender.
    pub const WATERMARK: u32 = 0x1_0008;
    /// Where the window is: bits 15 to 8 of its address; those above follow in the next two registers.
    pub const WINDOW_ADDRESS: u32 = 0x1_000A;
    /// Ends a frame's transfer.
    pub const FRAME_CONTROL: u32 = 0x1_000D;
    /// In [`FRAME_CONTROL`]: the one that is being read.
    pub const END_READ: u8 = 0x01;
    /// In [`FRAME_CONTROL`]: the one that is being written.
    pub const END_WRITE: u8 = 0x02;
    /// Bytes of a frame still to be taken by the radio, two registers.
    pub const WRITE_COUNT: u32 = 0x1_0019;
    /// Bytes of a frame still to be read, two registers.
    pub const READ_COUNT: u32 = 0x1_001B;
    /// Clocks: requests and what there is.
    pub const CLOCK: u32 = 0x1_000E;
    /// Pull-ups of the bus lines.
    pub const PULL_UP: u32 = 0x1_000F;

    /// In [`CLOCK`]: the crystal's clock (ALP) runs, whatever the chip wants.
    pub const FORCE_ALP: u8 = 0x01;
    /// In [`CLOCK`]: request for the crystal's clock.
    pub const ALP_REQUEST: u8 = 0x08;
    /// In [`CLOCK`]: request for the fast clock (HT).
    pub const HT_REQUEST: u8 = 0x10;
    /// In [`CLOCK`]: requests of the chip itself do not count.
    pub const IGNORE_CHIP: u8 = 0x20;
    /// In [`CLOCK`]: the crystal's clock is there.
    pub const ALP_AVAILABLE: u8 = 0x40;
    /// In [`CLOCK`]: the fast clock is there.
    pub const HT_AVAILABLE: u8 = 0x80;
}

/// The chip's own address space, behind the window.
pub mod chip {
    /// Chip id, revision and kind.
    pub const CHIP_ID: u32 = 0x1800_0000;
    /// The identification of a BCM43362.
    pub const BCM43362: u16 = 0xA962;
    /// Wrapper of the processor, a Cortex-M3.
    pub const ARM_WRAPPER: u32 = 0x1810_3000;
    /// Wrapper of the memory's controller.
    pub const SOCSRAM_WRAPPER: u32 = 0x1810_4000;
    /// The SDIO side of the chip.
    pub const SDIO_CORE: u32 = 0x1800_2000;
    /// In [`SDIO_CORE`]: what the radio has to say; ones written take it back.
    pub const INTERRUPT_STATUS: u32 = 0x20;
    /// In [`SDIO_CORE`]: which of that interrupts.
    pub const INTERRUPT_MASK: u32 = 0x24;
    /// The bits of [`INTERRUPT_STATUS`] that are for the host: flow, a frame, a message in the mailbox.
    pub const INTERRUPTS: u32 = 0xF0;
    /// In [`INTERRUPT_STATUS`]: there is a message in the mailbox.
    pub const INTERRUPT_MAILBOX: u32 = 0x80;
    /// In [`SDIO_CORE`]: which functions interrupt.
    pub const FUNCTION_MASK: u32 = 0x34;
    /// In [`FUNCTION_MASK`]: the WLAN function.
    pub const FUNCTION_WLAN: u32 = 2;
    /// In [`SDIO_CORE`]: the mailbox to the radio.
    pub const MAILBOX: u32 = 0x40;
    /// In [`MAILBOX`]: the frame did not arrive and is to be sent again.
    pub const MAILBOX_NAK: u32 = 1;
    /// In [`MAILBOX`]: its message was read.
    pub const MAILBOX_ACKNOWLEDGE: u32 = 2;
    /// In [`MAILBOX`]: it is to look what there is to do.
    pub const MAILBOX_POKE: u32 = 8;
    /// In [`SDIO_CORE`]: the mailbox to the host.
    pub const MAILBOX_DATA: u32 = 0x4C;
    /// In [`MAILBOX_DATA`]: the firmware has stopped.
    pub const FIRMWARE_HALTED: u32 = 0x10;
    /// Bytes of memory, from address 0.
    pub const RAM_SIZE: u32 = 0x3_C000;

    /// In a wrapper: clock and halt of the core.
    pub const IO_CONTROL: u32 = 0x408;
    /// In [`IO_CONTROL`]: the core has a clock.
    pub const CLOCK_ENABLE: u32 = 0x01;
    /// In [`IO_CONTROL`]: and it has it without being asked.
    pub const FORCE_GATED_CLOCK: u32 = 0x02;
    /// In a wrapper: reset of the core.
    pub const RESET_CONTROL: u32 = 0x800;
    /// In [`RESET_CONTROL`]: the core is in reset.
    pub const RESET: u32 = 0x01;
}
