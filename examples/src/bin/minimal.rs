//! All of it in one file: a secret in the secure element, an identity from it, registration, and a working device.
//!
//!     cargo run -p examples --bin minimal -- --help
//!
//! The chip is the virtual one and the network is this machine's. Firmware differs in those two: `Stsafe::new` gets the
//! I2C bus, and the `Connector` comes from `azure-iot-embassy`. With `--print` the program only prints the certificate
//! to enrol.

use clap::Parser as _;
use dice_core::standard::{self, FirmwareInfo, Identity};
use dice_core::{FirmwareDigest, RegistrationId, Uds, pem};
use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;
use examples::{Args, Certificate, Network};
use iothub_mqtt::dps_client::Config;
use iothub_mqtt::method::{ReplyTo, status};
use iothub_mqtt::runner::{Application, Device, DeviceCommand, DeviceEvent, Memory, Settings};
use iothub_mqtt::{HubEvent, Telemetry};
use stsafe_a100::blocking::{Stsafe, Vault};
use stsafe_a100::sim::{Profile, VirtualChip};
use stsafe_a100::vault::{Entry, Place, Setting};

/// What is kept in the chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DeviceSecret;

impl Setting for DeviceSecret {
    const TABLE: &'static [Entry<Self>] =
        &[Entry::new(Self, 1, "device secret", 32, [Place::new(0, 0), Place::new(7, 0)]).secret()];
}

/// The secret of the chip (made there at the first start) and the firmware make the identity.
fn identity<B: I2c, D: DelayNs>(chip: Stsafe<B, D>, firmware: &[u8], id: &str) -> anyhow::Result<Certificate>
where
    B::Error: Send + Sync + 'static,
{
    let mut vault = Vault::open(chip)?;
    if !vault.contains(DeviceSecret)? {
        vault.generate(DeviceSecret, false)?;
    }
    let mut secret = [0; 32];
    vault.get(DeviceSecret, &mut secret)?;
    let uds = Uds::from_bytes(secret)?;

    let info = FirmwareInfo::new("ACME", "Widget", "1.2.3", 4);
    let identity = Identity::derive(&uds, &FirmwareDigest::of(firmware)?, &info)?;
    let (mut leaf, mut issuer) =
        ([0; standard::ALIAS_CERTIFICATE_MAX_LEN], [0; standard::DEVICE_ID_CERTIFICATE_MAX_LEN]);
    let leaf = identity.alias_certificate(RegistrationId::new(id)?, &mut leaf)?;
    let issuer = identity.device_id_certificate(&mut issuer)?;
    Ok(Certificate::new(&[leaf, issuer], *identity.alias_key().expose_scalar().expose())?)
}

/// Says hello once a connection, and answers every method.
#[derive(Default)]
struct Hello {
    due: bool,
    answer: Option<ReplyTo>,
}

impl<E: std::fmt::Display> Application<E> for Hello {
    async fn event(&mut self, event: DeviceEvent<'_, E>) {
        match event {
            DeviceEvent::Registered(assignment) => println!("assigned to {}", assignment.hub()),
            DeviceEvent::Hub(HubEvent::Connected) => self.due = true,
            DeviceEvent::Hub(HubEvent::Delivered(_)) => println!("the hub has the message"),
            DeviceEvent::Hub(HubEvent::Message(_)) => println!("a message from the cloud"),
            DeviceEvent::Hub(HubEvent::Method(call)) => self.answer = Some(call.reply_to()),
            DeviceEvent::Retrying { cause, .. } => println!("{cause}; trying again"),
            _ => {}
        }
    }

    async fn command(&mut self) -> DeviceCommand<'_> {
        if let Some(to) = self.answer.take() {
            return DeviceCommand::Respond { to, status: status::OK, payload: b"{}" };
        }
        if !std::mem::take(&mut self.due) {
            std::future::pending::<()>().await;
        }
        DeviceCommand::Telemetry(Telemetry::json(br#"{"hello":"world"}"#))
    }
}

#[derive(clap::Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
    /// The file that stands for the secure element
    #[arg(long, default_value = "secure-element.json")]
    chip: std::path::PathBuf,
    /// Print the certificate to enrol, and end
    #[arg(long)]
    print: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let Command { args, chip, print } = Command::parse();
    let chip = VirtualChip::open(&chip, Profile::az3166(), VirtualChip::random_seed()?)?;
    let certificate = identity(Stsafe::new(chip.bus(), chip.delay()), b"the whole firmware image", &args.id)?;
    if print {
        let leaf = azure_iot_tls::Identity::certificate(&certificate, 0).unwrap_or_default();
        print!("{}", pem::encode(pem::Label::Certificate, leaf, pem::Lines::Wrapped, &mut [0; 2048])?);
        return Ok(());
    }
    let mut network = Network::new(&args, Some(certificate))?;
    let settings = Settings::new(Config::new(&args.id_scope, &args.id)?);
    let mut device: Device<'_, _> = Device::new(settings, rand::random);
    let mut memory: Memory = Memory::new();
    device.run(&mut Hello::default(), &mut network, &mut memory.buffers(), None).await?;
    Ok(())
}
