//! Finding out what is there: no chip, another one, a chip of which family, and how far it was put into service.

use super::super::{DelayNs, I2c, front};
use super::Stsafe;
use crate::channel::{Channel, HostChannel};
use crate::command::{Command, LifeCycleState, Query};
use crate::error::{Error, ForeignSign, Phase, Status, Unsuitable};
use crate::identity::Identity;
use crate::response::{AuthorisationTable, Family};
use crate::rules::Rules;
use crate::timing::Timing;

/// The slot of the local envelope key that a vault uses.
pub(crate) const ENVELOPE_SLOT: u8 = 0;

impl<I2C, D, S> Stsafe<I2C, D, S> {
    /// Sets the rules, and the family's times in place of the other's.
    fn set_family(&mut self, rules: Rules, others: &Timing, own: &Timing) {
        let config = self.config_mut();
        config.rules = rules;
        if config.timing == *others {
            config.timing = *own;
        }
    }
}

#[front]
impl<I2C: I2c, D: DelayNs, S: Channel> Stsafe<I2C, D, S> {
    /// Finds out which chip is there, and sets the driver for it: checksums (as [`Self::identify`]), the family's
    /// [`rules`](crate::config::Config::rules), an A110's from its table, and its wait times unless others were set.
    /// Use it first where the chip may be an A110. It changes nothing in the chip.
    ///
    /// The table is read without a MAC. Somebody on the bus can make commands fail with it; a secret that an A100 would
    /// encrypt is never sent in clear, whatever it says.
    ///
    /// # Errors
    /// [`Unsuitable::Absent`], [`Unsuitable::Foreign`], [`Unsuitable::Family`] or [`Unsuitable::LifeCycle`] if there is
    /// no chip to work with; every [`Error`] of an exchange. The rules are then as before.
    pub async fn detect(&mut self) -> Result<Identity, Error<I2C::Error>> {
        let (rules, timing) = (self.config().rules, self.config().timing);
        let found = self.survey().await;
        if found.is_err() {
            (self.config_mut().rules, self.config_mut().timing) = (rules, timing);
        }
        found
    }

    async fn survey(&mut self) -> Result<Identity, Error<I2C::Error>> {
        let address = self.config().address;
        let product = match self.identify().await {
            Ok(product) => product,
            Err(error) => return Err(foreign(address, error)),
        };
        match product.family() {
            Family::A100 => self.set_family(Rules::A100, &Timing::A110, &Timing::A100),
            Family::A110 => {
                self.set_family(Rules::A110, &Timing::A100, &Timing::A110);
                let rules = match self.command_authorisation().await {
                    Ok(table) => Rules::from_table(&table),
                    Err(error) => return Err(foreign(address, error)),
                };
                self.config_mut().rules = rules;
            }
            family => return Err(Unsuitable::Family { family, mask_id: product.mask_id }.into()),
        }
        let life_cycle = self.life_cycle().await?;
        if life_cycle.state != LifeCycleState::Operational {
            return Err(Unsuitable::LifeCycle(life_cycle).into());
        }
        let host_keys = self.host_key_slot().await?;
        let envelope_key = self.envelope_keys().await?.key(ENVELOPE_SLOT);
        Ok(Identity { product, life_cycle, host_keys, envelope_key })
    }

    /// The command authorisation table of an A110. A view of the frame buffer.
    ///
    /// # Errors
    /// [`Unsuitable::OtherFamily`] if the driver knows of no A110 ([`Self::detect`] finds it out); every [`Error`] of
    /// an exchange.
    pub async fn command_authorisation(&mut self) -> Result<AuthorisationTable<'_>, Error<I2C::Error>> {
        let data = self.exchange(Command::Query(Query::CommandAuthorisation)).await?;
        Ok(AuthorisationTable::parse(data)?)
    }
}

#[front]
impl<I2C: I2c, D: DelayNs, S: HostChannel> Stsafe<I2C, D, S> {
    /// Makes sure that the chip holds this session's host keys, with an echo that carries MACs.
    ///
    /// # Errors
    /// [`Unsuitable::OtherHostKeys`], [`CryptoError::NoHostKeys`](crate::error::CryptoError::NoHostKeys); every
    /// [`Error`] of an exchange.
    pub async fn check_host_keys(&mut self) -> Result<(), Error<I2C::Error>> {
        match self.settle().await {
            Ok(_) => Ok(()),
            Err(Error::Device(Status::InvalidCMac)) => Err(Unsuitable::OtherHostKeys.into()),
            Err(error) => Err(error),
        }
    }
}

/// What an error of the first queries says about who is there.
fn foreign<E>(address: u8, error: Error<E>) -> Error<E> {
    let sign = match error {
        Error::Timeout { phase: Phase::Write, .. } => return Unsuitable::Absent { address }.into(),
        Error::Timeout { phase: Phase::Read, .. } => ForeignSign::Silent,
        Error::Protocol(cause) => ForeignSign::Malformed(cause),
        Error::Device(status) => ForeignSign::Refused(status),
        error => return error,
    };
    Unsuitable::Foreign { address, sign }.into()
}
