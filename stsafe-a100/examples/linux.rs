//! Reads a real chip through a Linux I2C adapter: who it is, how its memory is divided, random numbers. Changes
//! nothing.
//!
//! ```text
//! cargo run -p stsafe-a100 --example linux -- /dev/i2c-1 [address, default 0x20]
//! ```

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("this example needs a Linux I2C adapter");
}

#[cfg(target_os = "linux")]
mod linux {
    use embedded_hal::delay::DelayNs;
    use embedded_hal::i2c::{Error, ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation};
    use i2cdev::core::I2CDevice;
    use i2cdev::linux::{LinuxI2CDevice, LinuxI2CError};
    use stsafe_a100::blocking::Stsafe;
    use stsafe_a100::config::{Config, DEFAULT_ADDRESS, Rule};
    use stsafe_a100::types::{Code, ZoneKind};

    /// One chip on a Linux adapter. `linux-embedded-hal` does not serve here: many adapters report a missing
    /// acknowledge as EREMOTEIO, which it takes for an error of another kind, and this chip does not acknowledge while
    /// it works.
    struct Chip(LinuxI2CDevice);

    #[derive(Debug)]
    struct BusError(Option<LinuxI2CError>);

    const ENXIO: i32 = 6;
    const EREMOTEIO: i32 = 121;

    impl Error for BusError {
        fn kind(&self) -> ErrorKind {
            let errno = match &self.0 {
                Some(LinuxI2CError::Errno(errno)) => Some(*errno),
                Some(LinuxI2CError::Io(error)) => error.raw_os_error(),
                None => None,
            };
            match errno {
                Some(ENXIO) => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address),
                Some(EREMOTEIO) => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Unknown),
                _ => ErrorKind::Other,
            }
        }
    }

    impl ErrorType for Chip {
        type Error = BusError;
    }

    impl I2c for Chip {
        /// Single transfers only, which is all the driver makes; the address was given when the adapter was opened.
        fn transaction(&mut self, _: u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
            match operations {
                [Operation::Write(bytes)] => self.0.write(bytes),
                [Operation::Read(bytes)] => self.0.read(bytes),
                _ => return Err(BusError(None)),
            }
            .map_err(|error| BusError(Some(error)))
        }
    }

    struct Sleep;

    impl DelayNs for Sleep {
        fn delay_ns(&mut self, ns: u32) {
            std::thread::sleep(std::time::Duration::from_nanos(ns.into()));
        }
    }

    pub(super) fn main() -> Result<(), Box<dyn std::error::Error>> {
        let mut args = std::env::args().skip(1);
        let path = args.next().ok_or("which adapter? /dev/i2c-1, for example")?;
        let mut config = Config::default();
        config.address = match args.next() {
            Some(address) => u8::from_str_radix(address.trim_start_matches("0x"), 16)?,
            None => DEFAULT_ADDRESS,
        };
        let device = LinuxI2CDevice::new(path, config.address.into())?;
        let mut chip = Stsafe::with_config(Chip(device), Sleep, config);

        let found = chip.detect()?;
        let product = found.product;
        println!("{:?}, mask {:02x?}, serial {:02x?}", product.family(), product.mask_id, product.serial);
        println!("user memory {:?} bytes, I/O buffer {:?} bytes", product.nvm, product.io_buffer);
        println!("life cycle {:?}", found.life_cycle);
        println!("host keys {:?}, pairing {:?}", found.host_keys, found.pairing());
        for code in Code::ALL {
            let rule = chip.config().rules.of(code);
            if rule != Rule::free(code) {
                println!("{code:?}: access {:?}, {:?}", rule.access, rule.encryption);
            }
        }
        for slot in chip.envelope_keys()?.slots() {
            println!("envelope key {}: {:?}", slot.slot, slot.key);
        }
        for zone in chip.partition()?.zones() {
            let counter = match zone.kind {
                ZoneKind::Data => String::new(),
                ZoneKind::Counter { value } => format!(", counter {value}"),
            };
            let (read, update) = (zone.read.condition, zone.update.condition);
            println!(
                "zone {:2}: {:4} bytes, read {read:?}, update {update:?}{counter}",
                zone.index, zone.size
            );
        }
        let mut random = [0; 16];
        chip.random(&mut random)?;
        println!("random {random:02x?}");
        Ok(())
    }
}
