//! The Ethernet controller: SMSC LAN9118 (datasheet revision 1.5), as an `embassy-net` driver.

use core::task::Context;

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_sync::waitqueue::AtomicWaker;
use static_cell::ConstStaticCell;

use crate::registers::Register;

const fn register(offset: usize) -> Register {
    // SAFETY: used for the registers below only, which are the controller's; nothing but this module uses them.
    unsafe { Register::at(0x4020_0000 + offset) }
}

const RX_DATA: Register = register(0x00);
const TX_DATA: Register = register(0x20);
const RX_STATUS: Register = register(0x40);
const TX_STATUS: Register = register(0x48);
const ID_REV: Register = register(0x50);
const IRQ_CFG: Register = register(0x54);
const INT_STS: Register = register(0x58);
const INT_EN: Register = register(0x5c);
const BYTE_TEST: Register = register(0x64);
const FIFO_INT: Register = register(0x68);
const RX_CFG: Register = register(0x6c);
const TX_CFG: Register = register(0x70);
const HW_CFG: Register = register(0x74);
const RX_FIFO_INF: Register = register(0x7c);
const TX_FIFO_INF: Register = register(0x80);
const MAC_CMD: Register = register(0xa4);
const MAC_DATA: Register = register(0xa8);

/// Receive status FIFO has reached its level.
const RSFL: u32 = 1 << 3;
/// Status words waiting in a FIFO, in its information register.
const STATUS_USED: u32 = 0x00ff_0000;
/// Registers of the MAC behind the two access registers.
const MAC_CR: u32 = 1;
const MAC_ADDRH: u32 = 2;
const MAC_ADDRL: u32 = 3;
const FULL_DUPLEX_TX_RX: u32 = 1 << 20 | 1 << 3 | 1 << 2;

/// Longest frame, without its checksum.
const FRAME: usize = 1514;
/// A frame and its checksum, in words.
const WORDS: usize = (FRAME + CRC).div_ceil(4);
const CRC: usize = 4;
/// Shortest frame with its checksum that is looked at: an Ethernet header.
const SHORTEST: usize = 14 + CRC;
/// Full frames that the receive FIFO holds (10,560 bytes). The TCP window is kept below this, so that nothing is
/// dropped.
const RX_FRAMES: usize = 6;

static WAKER: AtomicWaker = AtomicWaker::new();

/// The controller does not answer as it should; what it answered.
#[derive(Debug)]
pub(crate) struct NotFound(pub(crate) u32);

/// The controller.
pub(crate) struct Lan9118 {
    mac: [u8; 6],
    rx: &'static mut [u32; WORDS],
    tx: &'static mut [u32; WORDS],
}

fn mac_wait() {
    while MAC_CMD.read() & 1 << 31 != 0 {}
}

fn mac_read(number: u32) -> u32 {
    mac_wait();
    MAC_CMD.write(1 << 31 | 1 << 30 | number);
    mac_wait();
    MAC_DATA.read()
}

fn mac_write(number: u32, value: u32) {
    mac_wait();
    MAC_DATA.write(value);
    MAC_CMD.write(1 << 31 | number);
    mac_wait();
}

impl Lan9118 {
    /// Resets and starts the controller.
    ///
    /// # Panics
    /// At the second call: there is one controller.
    pub(crate) fn start() -> Result<Self, NotFound> {
        static RX: ConstStaticCell<[u32; WORDS]> = ConstStaticCell::new([0; WORDS]);
        static TX: ConstStaticCell<[u32; WORDS]> = ConstStaticCell::new([0; WORDS]);
        if BYTE_TEST.read() != 0x8765_4321 {
            return Err(NotFound(BYTE_TEST.read()));
        }
        if ID_REV.read() >> 16 != 0x0118 {
            return Err(NotFound(ID_REV.read()));
        }
        HW_CFG.write(1); // soft reset; takes the MAC address from the EEPROM again
        while HW_CFG.read() & 1 != 0 {}
        HW_CFG.write(1 << 20 | 5 << 16); // must-be-one, 5 KiB for sending
        INT_EN.write(0);
        INT_STS.write(u32::MAX);
        FIFO_INT.write(0); // interrupt with the first frame
        IRQ_CFG.write(1 << 8 | 1 << 4 | 1); // enabled, active high, push-pull
        RX_CFG.write(0);
        TX_CFG.write(1 << 2 | 1 << 1); // transmitter on, unread status is dropped
        let mut mac = [0; 6];
        let address = [mac_read(MAC_ADDRL), mac_read(MAC_ADDRH)].map(u32::to_le_bytes);
        mac.iter_mut().zip(address.as_flattened()).for_each(|(to, from)| *to = *from);
        mac_write(MAC_CR, FULL_DUPLEX_TX_RX);
        INT_EN.write(RSFL);
        Ok(Self { mac, rx: RX.take(), tx: TX.take() })
    }

    pub(crate) fn mac(&self) -> [u8; 6] {
        self.mac
    }
}

/// The controller's interrupt: masks it; the driver lets it through again when it has emptied the FIFO.
pub(crate) fn on_interrupt() {
    INT_EN.write(0);
    WAKER.wake();
}

fn is_empty() -> bool {
    RX_FIFO_INF.read() & STATUS_USED == 0
}

impl Driver for Lan9118 {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = ToSend<'a>;

    fn receive(&mut self, context: &mut Context<'_>) -> Option<(Received<'_>, ToSend<'_>)> {
        WAKER.register(context.waker());
        loop {
            if is_empty() {
                INT_STS.write(RSFL);
                INT_EN.write(RSFL);
                // One may have come in between.
                if is_empty() {
                    return None;
                }
            }
            let status = RX_STATUS.read();
            let length = usize::try_from(status >> 16 & 0x3fff).unwrap_or_default();
            let words = length.div_ceil(4);
            let faulty = status & 1 << 15 != 0;
            match self.rx.get_mut(..words).filter(|_| !faulty && length >= SHORTEST) {
                Some(frame) => {
                    for word in frame {
                        *word = RX_DATA.read();
                    }
                    let frame = Received { words: self.rx, length: length - CRC };
                    return Some((frame, ToSend { words: self.tx }));
                }
                None => {
                    for _ in 0..words {
                        RX_DATA.read();
                    }
                }
            }
        }
    }

    fn transmit(&mut self, context: &mut Context<'_>) -> Option<ToSend<'_>> {
        WAKER.register(context.waker());
        // The frame leaves when its last word is written: there is always room.
        Some(ToSend { words: self.tx })
    }

    fn link_state(&mut self, _: &mut Context<'_>) -> LinkState {
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = FRAME;
        capabilities.max_burst_size = Some(RX_FRAMES);
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.mac)
    }
}

/// The frame's bytes: the words as they lie in memory, as the processor and the FIFO are both little-endian.
fn bytes(words: &mut [u32; WORDS], length: usize) -> &mut [u8] {
    let length = length.min(WORDS * 4);
    // SAFETY: `length` bytes of the array, borrowed as long as the array is; any bits are bytes, and words.
    unsafe { core::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), length) }
}

/// A frame that was received.
pub(crate) struct Received<'a> {
    words: &'a mut [u32; WORDS],
    length: usize,
}

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, take: F) -> R {
        take(bytes(self.words, self.length))
    }
}

/// Room for a frame to be sent.
pub(crate) struct ToSend<'a> {
    words: &'a mut [u32; WORDS],
}

impl TxToken for ToSend<'_> {
    /// The stack keeps to the capabilities: no frame is longer than the buffer.
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let frame = bytes(self.words, length);
        let (result, length) = (fill(frame), u32::try_from(frame.len()).unwrap_or_default());
        TX_DATA.write(1 << 13 | 1 << 12 | length); // first and last segment
        TX_DATA.write(length);
        self.words.iter().take(frame_words(length)).for_each(|word| TX_DATA.write(*word));
        while TX_FIFO_INF.read() & STATUS_USED != 0 {
            TX_STATUS.read();
        }
        result
    }
}

fn frame_words(length: u32) -> usize {
    usize::try_from(length.div_ceil(4)).unwrap_or_default()
}
