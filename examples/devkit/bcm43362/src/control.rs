//! The application's side of a running radio: join, leave, scan, and what there is to know.

use core::fmt;
use core::future::poll_fn;
use core::task::Poll;

use embassy_futures::select::{Either, select};

use crate::join::{Key, Loss, Security, Ssid};
use crate::net::Shared;
use crate::scan::{Network, NetworkSecurity};

/// Bytes of a firmware's version that are kept.
pub const VERSION_LEN: usize = 96;

/// What the radio is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// It does not run, or is being started.
    Off,
    /// It runs, and is in no network.
    Idle,
    /// It is joining one.
    Joining,
    /// It is in one.
    Joined,
    /// It was in one. Join again.
    Lost(Loss),
}

/// How much the radio sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerSave {
    /// Not at all: shortest delays.
    Off,
    /// As much as it can; what it receives comes late.
    Most,
    /// While nothing is received.
    Fast,
}

/// Why something that was asked of the radio did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ControlError {
    /// The radio does not run, or has failed in the middle.
    RadioOff,
    /// The radio refuses the command, with its own error number.
    Refused {
        /// The number.
        status: i32,
    },
    /// No network of that name is in reach.
    NotFound,
    /// The passphrase is not the network's.
    WrongPassphrase,
    /// The network is secured otherwise than the key allows.
    Unsuitable {
        /// How it is secured.
        offered: NetworkSecurity,
    },
    /// The access point refuses, or something went wrong between it and the radio.
    JoinRefused {
        /// The event's status.
        status: u32,
        /// The event's reason.
        reason: u32,
    },
    /// Nothing came of it in time.
    TimedOut,
}

impl ControlError {
    /// Whether the same may succeed later.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        !matches!(self, Self::WrongPassphrase | Self::Unsuitable { .. } | Self::Refused { .. })
    }
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RadioOff => f.write_str("the radio is not running"),
            Self::Refused { status } => write!(f, "the radio refuses ({status})"),
            Self::NotFound => f.write_str("there is no such network in reach"),
            Self::WrongPassphrase => f.write_str("the passphrase is wrong"),
            Self::Unsuitable { offered } => f.write_str(match offered {
                NetworkSecurity::Open => "the network is open, but a passphrase was given",
                NetworkSecurity::Wep => "the network uses WEP, which is not supported",
                NetworkSecurity::Wpa3 => "the network accepts WPA3 only, which the radio does not support",
                NetworkSecurity::Enterprise => {
                    "the network requires a user name (802.1X), which is not supported"
                }
                _ => "the network requires a passphrase",
            }),
            Self::JoinRefused { status, reason } => {
                write!(f, "the access point refuses (status {status}, reason {reason})")
            }
            Self::TimedOut => f.write_str("it took too long"),
        }
    }
}

impl core::error::Error for ControlError {}

/// What the control asks of the runner.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Join(Ssid, Security),
    Leave,
    Scan(Option<Ssid>),
    Signal,
    Version,
    PowerSave(PowerSave),
}

/// What the runner answers.
pub(crate) type Answer = Result<Value, ControlError>;

/// What is read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    Done,
    Signal(i32),
    Version(Version),
}

/// A firmware's version, a text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Version {
    pub(crate) bytes: [u8; VERSION_LEN],
}

impl Version {
    /// The text, up to its first line's end or what is not ASCII.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let len = self.bytes.iter().position(|byte| !matches!(byte, 0x20..=0x7E));
        let text = self.bytes.get(..len.unwrap_or(VERSION_LEN)).unwrap_or_default();
        core::str::from_utf8(text).unwrap_or_default()
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// The application's handle. A call that is given up does no harm; the next one counts.
#[allow(missing_debug_implementations, reason = "it holds keys on their way")]
pub struct Control<'a> {
    shared: &'a Shared,
    number: u32,
    seen: Status,
}

impl<'a> Control<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Self {
        Self { shared, number: 0, seen: Status::Off }
    }

    /// What the radio is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// Waits until the radio is doing something else than at the last call of this, and gives that.
    pub async fn changed(&mut self) -> Status {
        let seen = self.seen;
        self.seen = self.until(|status| status != seen).await;
        self.seen
    }

    /// Waits until the radio runs.
    pub async fn running(&mut self) {
        self.until(|status| status != Status::Off).await;
    }

    /// Waits until the network is gone, and gives why; at once if there is none.
    pub async fn lost(&mut self) -> Option<Loss> {
        match self.until(|status| status != Status::Joined).await {
            Status::Lost(loss) => Some(loss),
            Status::Off => Some(Loss::RadioFailed),
            _ => None,
        }
    }

    async fn until(&self, is_wanted: impl Fn(Status) -> bool) -> Status {
        poll_fn(|cx| {
            self.shared.register_control(cx);
            let status = self.shared.status();
            if is_wanted(status) { Poll::Ready(status) } else { Poll::Pending }
        })
        .await
    }

    /// The radio's address, once it runs.
    #[must_use]
    pub fn address(&self) -> Option<[u8; 6]> {
        (self.status() != Status::Off).then(|| self.shared.address())
    }

    /// Joins a network; one that is joined already is left. Ends after some seconds at most.
    ///
    /// # Errors
    /// Each of [`ControlError`].
    pub async fn join(&mut self, ssid: Ssid, security: Security) -> Result<(), ControlError> {
        self.ask(Request::Join(ssid, security)).await.map(drop)
    }

    /// Looks for a network and chooses how to join it with this key, or without one: WPA2 where any of its access
    /// points offers that. What was not found may still be there, and hide its name.
    ///
    /// # Errors
    /// [`ControlError::Unsuitable`], and those of [`Self::scan`].
    pub async fn choose(&mut self, ssid: Ssid, key: Option<Key>) -> Result<Security, ControlError> {
        use NetworkSecurity::{Open, Wpa, Wpa2, Wpa2Mixed};
        let order = if key.is_some() { &[Wpa, Wpa2Mixed, Wpa2][..] } else { &[Open] };
        let rank = |offered: &NetworkSecurity| order.iter().position(|other| other == offered);
        let mut best = None;
        self.scan(Some(ssid), |Network { ssid: found, security, .. }| {
            if found == ssid && best.as_ref().is_none_or(|best| rank(best) < rank(&security)) {
                best = Some(security);
            }
        })
        .await?;
        Security::choose(key, best)
    }

    /// Leaves the network.
    ///
    /// # Errors
    /// [`ControlError::RadioOff`], [`ControlError::Refused`].
    pub async fn leave(&mut self) -> Result<(), ControlError> {
        self.ask(Request::Leave).await.map(drop)
    }

    /// Looks for networks on all channels, of one name or of any, and passes each on as it is found: one with several
    /// access points comes several times, and so may an access point.
    ///
    /// # Errors
    /// [`ControlError::RadioOff`], [`ControlError::Refused`], [`ControlError::TimedOut`].
    pub async fn scan(
        &mut self,
        ssid: Option<Ssid>,
        mut found: impl FnMut(Network),
    ) -> Result<(), ControlError> {
        self.shared.networks.clear();
        let networks = &self.shared.networks;
        let result = {
            let mut over = core::pin::pin!(Self::ask_as(self.shared, &mut self.number, Request::Scan(ssid)));
            loop {
                match select(networks.receive(), over.as_mut()).await {
                    Either::First(network) => found(network),
                    Either::Second(result) => break result,
                }
            }
        };
        while let Ok(network) = networks.try_receive() {
            found(network);
        }
        result.map(drop)
    }

    /// The signal of the network that is joined, in dBm.
    ///
    /// # Errors
    /// [`ControlError::RadioOff`], [`ControlError::Refused`].
    pub async fn signal(&mut self) -> Result<i32, ControlError> {
        match self.ask(Request::Signal).await? {
            Value::Signal(signal) => Ok(signal),
            _ => Err(ControlError::RadioOff),
        }
    }

    /// The version of the radio's firmware.
    ///
    /// # Errors
    /// [`ControlError::RadioOff`], [`ControlError::Refused`].
    pub async fn firmware_version(&mut self) -> Result<Version, ControlError> {
        match self.ask(Request::Version).await? {
            Value::Version(version) => Ok(version),
            _ => Err(ControlError::RadioOff),
        }
    }

    /// Lets the radio sleep more or less. It needs its 32 kHz clock for that.
    ///
    /// # Errors
    /// [`ControlError::RadioOff`], [`ControlError::Refused`].
    pub async fn set_power_save(&mut self, power_save: PowerSave) -> Result<(), ControlError> {
        self.ask(Request::PowerSave(power_save)).await.map(drop)
    }

    async fn ask(&mut self, request: Request) -> Answer {
        Self::ask_as(self.shared, &mut self.number, request).await
    }

    /// Each request has a number, so that a late answer to one that was given up is not taken for that of the next.
    async fn ask_as(shared: &Shared, number: &mut u32, request: Request) -> Answer {
        if shared.status() == Status::Off {
            return Err(ControlError::RadioOff);
        }
        *number = number.wrapping_add(1);
        shared.ask(*number, request);
        loop {
            match shared.answer.wait().await {
                (answered, answer) if answered == *number => return answer,
                _ => {}
            }
        }
    }
}
