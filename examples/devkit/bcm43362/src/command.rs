//! SDIO commands and their answers, as bits: SDIO Simplified Specification 3.00, chapters 3 to 5.

/// Addresses of a function have 17 bits.
const ADDRESS_MASK: u32 = 0x1_FFFF;
/// Most bytes in a transfer without blocks.
pub const MAX_BYTES: u16 = 512;
/// Most blocks in a transfer.
pub const MAX_BLOCKS: u16 = 511;

/// What a card answers to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// Nothing.
    None,
    /// 48 bits with checksum: R1, R5 or R6.
    Short,
    /// 48 bits whose checksum field is no checksum: R4.
    ShortWithoutCrc,
}

/// A command as it goes over the command line; its checksum is the controller's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// The command's number, 0 to 63.
    pub index: u8,
    /// Its argument.
    pub argument: u32,
    /// What is answered.
    pub response: Response,
}

impl Command {
    /// CMD0: GO_IDLE_STATE.
    pub const GO_IDLE: Self = Self { index: 0, argument: 0, response: Response::None };
    /// CMD3: SEND_RELATIVE_ADDR; the answer (R6) has the address in its upper half.
    pub const SEND_RELATIVE_ADDRESS: Self = Self { index: 3, argument: 0, response: Response::Short };

    /// CMD5: IO_SEND_OP_COND with the voltages wanted; 0 only asks. The answer (R4) is an [`Ocr`].
    #[must_use]
    pub const fn send_op_cond(voltages: u32) -> Self {
        Self { index: 5, argument: voltages & Ocr::VOLTAGES, response: Response::ShortWithoutCrc }
    }

    /// CMD7: SELECT_CARD.
    #[must_use]
    pub const fn select(relative_address: u16) -> Self {
        Self { index: 7, argument: (relative_address as u32) << 16, response: Response::Short }
    }

    /// CMD52: IO_RW_DIRECT, a read of one register. The answer is an [`R5`].
    #[must_use]
    pub const fn read_direct(function: Function, address: u32) -> Self {
        let argument = (function as u32) << 28 | (address & ADDRESS_MASK) << 9;
        Self { index: 52, argument, response: Response::Short }
    }

    /// CMD52: IO_RW_DIRECT, a write of one register. The answer is an [`R5`].
    #[must_use]
    pub const fn write_direct(function: Function, address: u32, value: u8) -> Self {
        let argument = 1 << 31 | (function as u32) << 28 | (address & ADDRESS_MASK) << 9 | value as u32;
        Self { index: 52, argument, response: Response::Short }
    }
}

/// A function of the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// The card itself: its common registers.
    Card = 0,
    /// The backplane: the chip's registers and memory.
    Backplane = 1,
    /// Frames of the network.
    Wlan = 2,
}

/// How much a transfer moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// So many bytes, 1 to [`MAX_BYTES`].
    Bytes(u16),
    /// So many blocks, 1 to [`MAX_BLOCKS`], of the size set for the function.
    Blocks {
        /// How many.
        count: u16,
        /// Bytes of each.
        size: u16,
    },
}

impl Size {
    /// Bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Bytes(count) => count as usize,
            Self::Blocks { count, size } => count as usize * size as usize,
        }
    }
}

/// CMD53: IO_RW_EXTENDED, at addresses that count up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The function.
    pub function: Function,
    /// The first address.
    pub address: u32,
    /// How much.
    pub size: Size,
}

impl Transfer {
    /// The command of the transfer. The answer is an [`R5`].
    #[must_use]
    pub const fn command(self, write: bool) -> Command {
        let (block_mode, count) = match self.size {
            // 512 bytes are written as 0.
            Size::Bytes(count) => (0, count & 0x1FF),
            Size::Blocks { count, .. } => (1 << 27, count & 0x1FF),
        };
        let argument = (write as u32) << 31
            | (self.function as u32) << 28
            | block_mode
            | 1 << 26
            | (self.address & ADDRESS_MASK) << 9
            | count as u32;
        Command { index: 53, argument, response: Response::Short }
    }
}

/// The answer to CMD5 (R4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ocr(pub u32);

impl Ocr {
    /// The voltages a card can take, and CMD5 asks for.
    pub const VOLTAGES: u32 = 0x00FF_FFFF;
    /// 3.2 to 3.4 V.
    pub const V3_3: u32 = 0x0030_0000;

    /// Whether the card has powered up.
    #[must_use]
    pub const fn is_ready(self) -> bool {
        self.0 >> 31 != 0
    }

    /// How many functions it has besides the card itself.
    #[must_use]
    pub const fn functions(self) -> u8 {
        (self.0 >> 28 & 7) as u8
    }
}

/// The answer to CMD52 and CMD53.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct R5(pub u32);

impl R5 {
    /// The previous command arrived with a wrong checksum.
    pub const COM_CRC_ERROR: u8 = 0x80;
    /// The command is not legal in the card's state.
    pub const ILLEGAL_COMMAND: u8 = 0x40;
    /// An error without a bit of its own.
    pub const ERROR: u8 = 0x08;
    /// There is no such function, or it is not enabled.
    pub const FUNCTION_NUMBER: u8 = 0x02;
    /// The address is out of range.
    pub const OUT_OF_RANGE: u8 = 0x01;
    const ERRORS: u8 = Self::COM_CRC_ERROR
        | Self::ILLEGAL_COMMAND
        | Self::ERROR
        | Self::FUNCTION_NUMBER
        | Self::OUT_OF_RANGE;

    /// The register's value: read, or read back after a write.
    #[must_use]
    pub const fn data(self) -> u8 {
        (self.0 & 0xFF) as u8
    }

    /// The error bits that are set.
    #[must_use]
    pub const fn errors(self) -> u8 {
        (self.0 >> 8 & 0xFF) as u8 & Self::ERRORS
    }
}

#[cfg(test)]
mod tests {
    use super::{Command, Function, Ocr, R5, Size, Transfer};

    #[test]
    fn arguments_have_their_bits_where_the_specification_puts_them() {
        assert_eq!(Command::write_direct(Function::Card, 0x07, 0x82).argument, 0x8000_0E82);
        assert_eq!(Command::read_direct(Function::Backplane, 0x1_000E).argument, 0x1200_1C00);
        assert_eq!(Command::read_direct(Function::Wlan, 0xFFFF_FFFF).argument, 0x23FF_FE00);
        let transfer = |size| Transfer { function: Function::Backplane, address: 0x8000, size };
        assert_eq!(transfer(Size::Bytes(4)).command(true).argument, 0x9500_0004 | 1 << 26);
        assert_eq!(transfer(Size::Bytes(512)).command(false).argument, 0x1500_0000);
        let blocks = Size::Blocks { count: 8, size: 64 };
        assert_eq!(transfer(blocks).command(true).argument, 0x9D00_0008);
        assert_eq!((blocks.bytes(), Size::Bytes(512).bytes()), (512, 512));
        assert_eq!(Command::select(0x1234).argument, 0x1234_0000);
        assert_eq!(Command::send_op_cond(u32::MAX).argument, 0x00FF_FFFF);
    }

    #[test]
    fn answers_are_taken_apart() {
        let ocr = Ocr(0xA0FF_FF00);
        assert!(ocr.is_ready());
        assert_eq!(ocr.functions(), 2);
        let answer = R5(0x0000_1042);
        assert_eq!((answer.data(), answer.errors()), (0x42, 0));
        assert_eq!(R5(0x0000_FF00).errors(), 0xCB);
    }
}
