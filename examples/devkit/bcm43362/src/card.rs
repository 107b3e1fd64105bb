//! The card on the bus: identification, registers, transfers; each command tried again if it was lost on the way.

use embedded_hal_async::delay::DelayNs;

use crate::bus::{Clock, SdioBus, SdioError as _, Width};
use crate::command::{Command, Function, MAX_BLOCKS, Ocr, R5, Size, Transfer};
use crate::error::{BusError, Error, Step};
use crate::registers::card;

/// How often a command is sent, at most.
const ATTEMPTS: u32 = 3;
/// Bytes of a block, in every function.
pub(crate) const BLOCK: u16 = 64;

/// How long something may take.
#[derive(Clone, Copy)]
pub(crate) struct Wait {
    pub(crate) limit_ms: u32,
    pub(crate) poll_ms: u32,
}

impl Wait {
    const POWER_UP: Self = Self { limit_ms: 1000, poll_ms: 10 };
}

/// A selected card.
#[derive(Debug)]
pub(crate) struct Card<B, D> {
    bus: B,
    pub(crate) delay: D,
    /// What is being done, for errors.
    pub(crate) step: Step,
}

impl<B, D> Card<B, D> {
    pub(crate) fn new(bus: B, delay: D) -> Self {
        Self { bus, delay, step: Step::Identification }
    }

    pub(crate) fn release(self) -> (B, D) {
        (self.bus, self.delay)
    }
}

impl<B: SdioBus, D: DelayNs> Card<B, D> {
    fn failed(&self, source: B::Error) -> BusError<B::Error> {
        Error::Bus { step: self.step, source }
    }

    pub(crate) fn timeout(&self) -> BusError<B::Error> {
        Error::Timeout { step: self.step }
    }

    /// A command without data, tried again if the card may not have got it.
    async fn command(&mut self, command: Command) -> Result<u32, BusError<B::Error>> {
        let mut attempts = ATTEMPTS;
        loop {
            attempts -= 1;
            match self.bus.command(command).await {
                Ok(answer) => return Ok(answer),
                Err(error) if attempts > 0 && error.kind().is_retriable() => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    /// Finds the card, waits until it has powered up, gives it an address and selects it.
    pub(crate) async fn identify(&mut self) -> Result<(), BusError<B::Error>> {
        self.bus.set_clock(Clock::Identification);
        self.bus.set_width(Width::One);
        // Whatever state the card is in. One that is new does not answer.
        let reset = Command::write_direct(Function::Card, card::IO_ABORT, card::IO_ABORT_RESET);
        let _ = self.bus.command(reset).await;
        let _ = self.bus.command(Command::GO_IDLE).await;
        let ocr = self.power_up(0, |_| true).await?;
        if ocr.functions() < Function::Wlan as u8 || ocr.0 & Ocr::V3_3 == 0 {
            return Err(Error::WrongCard { ocr: ocr.0 });
        }
        self.power_up(Ocr::V3_3, Ocr::is_ready).await?;
        let address = self.command(Command::SEND_RELATIVE_ADDRESS).await? >> 16;
        self.command(Command::select(u16::try_from(address).unwrap_or_default())).await?;
        Ok(())
    }

    /// Asks until the card answers as wanted.
    async fn power_up(
        &mut self,
        voltages: u32,
        is_wanted: impl Fn(Ocr) -> bool,
    ) -> Result<Ocr, BusError<B::Error>> {
        let Wait { limit_ms, poll_ms } = Wait::POWER_UP;
        for _ in 0..limit_ms / poll_ms {
            match self.bus.command(Command::send_op_cond(voltages)).await.map(Ocr) {
                Ok(ocr) if is_wanted(ocr) => return Ok(ocr),
                Err(error) if !error.kind().is_retriable() => return Err(self.failed(error)),
                _ => self.delay.delay_ms(poll_ms).await,
            }
        }
        Err(self.timeout())
    }

    /// Four data lines, full speed, the same blocks in every function.
    pub(crate) async fn set_up_bus(&mut self) -> Result<(), BusError<B::Error>> {
        let interface = self.get(Function::Card, card::BUS_INTERFACE).await?;
        let interface = interface & !card::BUS_WIDTH_MASK | card::BUS_WIDTH_4;
        self.put(Function::Card, card::BUS_INTERFACE, interface).await?;
        self.bus.set_width(Width::Four);
        self.bus.set_clock(Clock::Transfer);
        for function in 0..=Function::Wlan as u8 {
            for (address, byte) in (card::block_size(function)..).zip(BLOCK.to_le_bytes()) {
                self.put(Function::Card, address, byte).await?;
            }
        }
        Ok(())
    }

    /// Enables a function and waits until it is ready.
    pub(crate) async fn enable(&mut self, function: Function, wait: Wait) -> Result<(), BusError<B::Error>> {
        let bit = 1 << function as u8;
        let enabled = self.get(Function::Card, card::IO_ENABLE).await?;
        self.put(Function::Card, card::IO_ENABLE, enabled | bit).await?;
        self.wait_for(Function::Card, card::IO_READY, bit, wait).await
    }

    /// Polls a register until a bit is set.
    pub(crate) async fn wait_for(
        &mut self,
        function: Function,
        address: u32,
        bit: u8,
        Wait { limit_ms, poll_ms }: Wait,
    ) -> Result<(), BusError<B::Error>> {
        for _ in 0..=limit_ms / poll_ms {
            if self.get(function, address).await? & bit != 0 {
                return Ok(());
            }
            self.delay.delay_ms(poll_ms).await;
        }
        Err(self.timeout())
    }

    /// Reads a register.
    pub(crate) async fn get(&mut self, function: Function, address: u32) -> Result<u8, BusError<B::Error>> {
        self.direct(Command::read_direct(function, address)).await
    }

    /// Writes a register.
    pub(crate) async fn put(
        &mut self,
        function: Function,
        address: u32,
        value: u8,
    ) -> Result<(), BusError<B::Error>> {
        self.direct(Command::write_direct(function, address, value)).await.map(drop)
    }

    async fn direct(&mut self, command: Command) -> Result<u8, BusError<B::Error>> {
        let mut attempts = ATTEMPTS;
        loop {
            attempts -= 1;
            let answer = R5(self.command(command).await?);
            match answer.errors() {
                0 => return Ok(answer.data()),
                // About a command before this one; this one was not carried out.
                R5::COM_CRC_ERROR if attempts > 0 => {}
                flags => return Err(Error::Refused { step: self.step, flags }),
            }
        }
    }

    /// Reads `out` from addresses that count up.
    pub(crate) async fn read(
        &mut self,
        function: Function,
        mut address: u32,
        mut out: &mut [u8],
    ) -> Result<(), BusError<B::Error>> {
        while let Some(size) = next_size(out.len()) {
            let (piece, rest) = out.split_at_mut_checked(size.bytes()).unwrap_or_default();
            let transfer = Transfer { function, address, size };
            let mut attempts = ATTEMPTS;
            loop {
                attempts -= 1;
                let answer = self.bus.read(transfer, piece).await;
                if self.is_done(function, answer, attempts).await? {
                    break;
                }
            }
            address += u32::from(size);
            out = rest;
        }
        Ok(())
    }

    /// Writes `data` to addresses that count up.
    pub(crate) async fn write(
        &mut self,
        function: Function,
        mut address: u32,
        mut data: &[u8],
    ) -> Result<(), BusError<B::Error>> {
        while let Some(size) = next_size(data.len()) {
            let (piece, rest) = data.split_at_checked(size.bytes()).unwrap_or_default();
            let transfer = Transfer { function, address, size };
            let mut attempts = ATTEMPTS;
            loop {
                attempts -= 1;
                let answer = self.bus.write(transfer, piece).await;
                if self.is_done(function, answer, attempts).await? {
                    break;
                }
            }
            address += u32::from(size);
            data = rest;
        }
        Ok(())
    }

    /// One attempt to read a piece of a frame, from address 0. Gives whether the piece arrived.
    pub(crate) async fn try_read(
        &mut self,
        function: Function,
        size: Size,
        out: &mut [u8],
    ) -> Result<bool, BusError<B::Error>> {
        let answer = self.bus.read(Transfer { function, address: 0, size }, out).await;
        self.has_moved(answer)
    }

    /// One attempt to write a piece of a frame, to address 0. Gives whether the piece arrived.
    pub(crate) async fn try_write(
        &mut self,
        function: Function,
        size: Size,
        data: &[u8],
    ) -> Result<bool, BusError<B::Error>> {
        let answer = self.bus.write(Transfer { function, address: 0, size }, data).await;
        self.has_moved(answer)
    }

    fn has_moved(&self, answer: Result<u32, B::Error>) -> Result<bool, BusError<B::Error>> {
        match answer.map(|answer| R5(answer).errors()) {
            Ok(0) => Ok(true),
            Ok(R5::COM_CRC_ERROR) => Ok(false),
            Ok(flags) => Err(Error::Refused { step: self.step, flags }),
            Err(error) if error.kind().is_retriable() => Ok(false),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Whether a transfer has succeeded; if it is worth another attempt, the card is made to forget this one.
    async fn is_done(
        &mut self,
        function: Function,
        answer: Result<u32, B::Error>,
        attempts: u32,
    ) -> Result<bool, BusError<B::Error>> {
        let error = match answer.map(|answer| R5(answer).errors()) {
            Ok(0) => return Ok(true),
            Ok(R5::COM_CRC_ERROR) if attempts > 0 => return Ok(false),
            Ok(flags) => return Err(Error::Refused { step: self.step, flags }),
            Err(error) => error,
        };
        if attempts == 0 || !error.kind().is_retriable() {
            return Err(self.failed(error));
        }
        self.put(Function::Card, card::IO_ABORT, function as u8).await?;
        Ok(false)
    }
}

/// The next transfer of `len` bytes: whole blocks first, then powers of two.
fn next_size(len: usize) -> Option<Size> {
    let blocks = u16::try_from(len / usize::from(BLOCK)).unwrap_or(u16::MAX).min(MAX_BLOCKS);
    match blocks {
        0 => len.checked_ilog2().map(|log| Size::Bytes(1 << log)),
        count => Some(Size::Blocks { count, size: BLOCK }),
    }
}

impl From<Size> for u32 {
    fn from(size: Size) -> Self {
        match size {
            Size::Bytes(count) => count.into(),
            Size::Blocks { count, size } => Self::from(count) * Self::from(size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::next_size;
    use crate::command::Size;

    #[test]
    fn blocks_first_then_powers_of_two() {
        let mut left = 40_000 + 63;
        let mut sizes = std::vec::Vec::new();
        while let Some(size) = next_size(left) {
            left -= size.bytes();
            sizes.push(size);
        }
        let blocks = |count| Size::Blocks { count, size: 64 };
        assert_eq!(sizes[..2], [blocks(511), blocks(114)]);
        assert_eq!(sizes[2..], [32, 16, 8, 4, 2, 1].map(Size::Bytes));
    }
}
