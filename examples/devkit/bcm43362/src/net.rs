//! Where the three parts of a running radio meet – the runner, who owns the bus, the control, and the device of the
//! network stack – and that device. Frames stay where they are from the bus to the stack and back: each has its
//! headers before it.

use core::cell::{Cell, RefCell};
use core::task::Context;

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;
use embassy_sync::waitqueue::WakerRegistration;
use embassy_sync::zerocopy_channel::{Channel, Receiver, Sender};

use crate::control::{Answer, Control, ControlError, Request, Status};
use crate::runner::{Config, Runner};
use crate::scan::Network;
use crate::sdpcm::DATA_HEADER_LEN;
use crate::timer::{Interrupt, Timer};
use crate::{SdioBus, sdpcm};

/// Longest Ethernet frame, in bytes, without its checksum.
pub const MTU: usize = 1514;
/// What is before the Ethernet frame in a frame that is sent.
pub(crate) const HEADERS_LEN: usize = DATA_HEADER_LEN + 4;
/// A first word, and as many blocks as hold the longest frame with room for optional headers.
const FRAME_LEN: usize = 4 + 25 * 64;
/// Networks found and not yet passed on.
const NETWORKS: usize = 8;

/// A frame, at a place that suits DMA.
#[repr(align(4))]
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) bytes: [u8; FRAME_LEN],
    /// Where the Ethernet frame is.
    pub(crate) start: u16,
    pub(crate) len: u16,
}

impl Frame {
    const EMPTY: Self = Self { bytes: [0; FRAME_LEN], start: 0, len: 0 };

    pub(crate) fn ethernet(&mut self) -> &mut [u8] {
        let start = usize::from(self.start);
        self.bytes.get_mut(start..start + usize::from(self.len)).unwrap_or_default()
    }

    /// Puts the headers before an Ethernet frame; gives the length of all.
    pub(crate) fn envelop(&mut self, sdpcm: &mut sdpcm::Sdpcm) -> usize {
        let len = HEADERS_LEN + usize::from(self.len);
        let header = sdpcm.header(sdpcm::Channel::Data, u16::try_from(len).unwrap_or_default());
        let padding = [0; DATA_HEADER_LEN - sdpcm::HEADER_LEN];
        let headers = header.iter().chain(&padding).chain(&sdpcm::BDC_HEADER);
        self.bytes.iter_mut().zip(headers).for_each(|(to, from)| *to = *from);
        len
    }
}

/// What control and device know of the radio.
#[derive(Debug)]
struct Known {
    status: Status,
    address: [u8; 6],
    device: WakerRegistration,
    control: WakerRegistration,
}

/// What the parts share.
pub(crate) struct Shared {
    known: RefCell<Known>,
    /// The number of the request that is not answered yet.
    waiting: Cell<Option<u32>>,
    pub(crate) request: embassy_sync::channel::Channel<NoopRawMutex, (u32, Request), 1>,
    pub(crate) answer: Signal<NoopRawMutex, (u32, Answer)>,
    pub(crate) networks: embassy_sync::channel::Channel<NoopRawMutex, Network, NETWORKS>,
}

impl Shared {
    const fn new() -> Self {
        Self {
            known: RefCell::new(Known {
                status: Status::Off,
                address: [0; 6],
                device: WakerRegistration::new(),
                control: WakerRegistration::new(),
            }),
            waiting: Cell::new(None),
            request: embassy_sync::channel::Channel::new(),
            answer: Signal::new(),
            networks: embassy_sync::channel::Channel::new(),
        }
    }

    pub(crate) fn status(&self) -> Status {
        self.known.borrow().status
    }

    pub(crate) fn set_status(&self, status: Status) {
        let mut known = self.known.borrow_mut();
        if known.status != status {
            known.status = status;
            known.device.wake();
            known.control.wake();
        }
    }

    pub(crate) fn address(&self) -> [u8; 6] {
        self.known.borrow().address
    }

    pub(crate) fn set_address(&self, address: [u8; 6]) {
        self.known.borrow_mut().address = address;
    }

    /// Asks the runner.
    pub(crate) fn ask(&self, number: u32, request: Request) {
        self.answer.reset();
        self.waiting.set(Some(number));
        // One that was given up before it was looked at.
        self.request.clear();
        let _ = self.request.try_send((number, request));
    }

    /// Answers the control, if it is still this request that it waits for.
    pub(crate) fn reply(&self, number: u32, answer: Answer) {
        if self.waiting.get() == Some(number) {
            self.waiting.set(None);
            self.answer.signal((number, answer));
        }
    }

    /// The radio does not run any more: all waiting calls are ended.
    pub(crate) fn switch_off(&self) {
        self.set_status(Status::Off);
        self.request.clear();
        if let Some(number) = self.waiting.get() {
            self.reply(number, Err(ControlError::RadioOff));
        }
    }

    pub(crate) fn register_control(&self, cx: &Context<'_>) {
        self.known.borrow_mut().control.register(cx.waker());
    }
}

/// The memory of a radio: frames received, frames to be sent, and what the parts share. About 1.6 KB a frame.
///
/// Once [`new`] has lent it out for good it is in use for as long as it lives: most often it is a `static`.
#[allow(missing_debug_implementations, reason = "buffers")]
pub struct State<'a, const RX: usize = 4, const TX: usize = 3> {
    received: [Frame; RX],
    to_send: [Frame; TX],
    receive: Option<Channel<'a, NoopRawMutex, Frame>>,
    send: Option<Channel<'a, NoopRawMutex, Frame>>,
    shared: Shared,
}

impl<const RX: usize, const TX: usize> State<'_, RX, TX> {
    /// Nothing in it yet.
    #[must_use]
    pub const fn new() -> Self {
        let received = [const { Frame::EMPTY }; RX];
        let to_send = [const { Frame::EMPTY }; TX];
        Self { received, to_send, receive: None, send: None, shared: Shared::new() }
    }
}

impl<const RX: usize, const TX: usize> Default for State<'_, RX, TX> {
    fn default() -> Self {
        Self::new()
    }
}

/// The parts of a radio: the device for `embassy-net`, the control for the application, and the runner, who does all
/// the work once [`Runner::run`] is polled. `bus` has its card powered and out of reset.
pub fn new<'a, B: SdioBus, T: Timer, I: Interrupt, const RX: usize, const TX: usize>(
    state: &'a mut State<'a, RX, TX>,
    bus: B,
    timer: T,
    interrupt: I,
    config: Config,
) -> (Device<'a>, Control<'a>, Runner<'a, B, T, I>) {
    let State { received, to_send, receive, send, shared } = state;
    let (rx_sender, rx_receiver) = receive.insert(Channel::new(received)).split();
    let (tx_sender, tx_receiver) = send.insert(Channel::new(to_send)).split();
    let shared = &*shared;
    let device = Device { receive: rx_receiver, send: tx_sender, shared };
    let runner = Runner::new(bus, timer, interrupt, config, shared, rx_sender, tx_receiver);
    (device, Control::new(shared), runner)
}

/// The network stack's side: an Ethernet device whose link is up while a network is joined.
#[allow(missing_debug_implementations, reason = "buffers")]
pub struct Device<'a> {
    receive: Receiver<'a, NoopRawMutex, Frame>,
    send: Sender<'a, NoopRawMutex, Frame>,
    shared: &'a Shared,
}

impl Driver for Device<'_> {
    type RxToken<'t>
        = RxToken<'t>
    where
        Self: 't;
    type TxToken<'t>
        = TxToken<'t>
    where
        Self: 't;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(RxToken<'_>, TxToken<'_>)> {
        let is_ready = self.receive.poll_receive(cx).is_ready() && self.send.poll_send(cx).is_ready();
        is_ready.then(|| (RxToken(self.receive.borrow()), TxToken(self.send.borrow())))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<TxToken<'_>> {
        self.send.poll_send(cx).is_ready().then(|| TxToken(self.send.borrow()))
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        self.shared.known.borrow_mut().device.register(cx.waker());
        match self.shared.status() {
            Status::Joined => LinkState::Up,
            _ => LinkState::Down,
        }
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = MTU;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.shared.address())
    }
}

/// A frame received.
#[allow(missing_debug_implementations, reason = "buffers")]
pub struct RxToken<'a>(Receiver<'a, NoopRawMutex, Frame>);

impl embassy_net_driver::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, f: F) -> R {
        let result = match self.0.try_receive() {
            Some(frame) => f(frame.ethernet()),
            None => return f(&mut []),
        };
        self.0.receive_done();
        result
    }
}

/// Room for a frame to be sent.
#[allow(missing_debug_implementations, reason = "buffers")]
pub struct TxToken<'a>(Sender<'a, NoopRawMutex, Frame>);

impl embassy_net_driver::TxToken for TxToken<'_> {
    /// A frame that is longer than [`MTU`], which the stack never sends, is cut.
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, len: usize, f: F) -> R {
        let Some(frame) = self.0.try_send() else { return f(&mut []) };
        frame.start = u16::try_from(HEADERS_LEN).unwrap_or_default();
        frame.len = u16::try_from(len.min(MTU)).unwrap_or_default();
        let result = f(frame.ethernet());
        self.0.send_done();
        result
    }
}
