//! The vault on a chip that has zones and nothing else.
//!
//! `stsafe-zones` links only the chip, so that the difference of an image to it is the flash of vault and driver. The
//! chip's part of the stack, some 100 bytes, is counted in.

use core::convert::Infallible;

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{ErrorType, I2c, Operation};

use crate::measure::step;

/// The AZ3166's zones: number and bytes.
const ZONES: [(u8, u16); 8] =
    [(0, 976), (2, 192), (3, 120), (5, 584), (6, 680), (7, 784), (8, 880), (10, 88)];
const MEMORY: usize = 4304;

struct Chip {
    memory: [u8; MEMORY],
    response: [u8; 512],
    len: usize,
    random: u8,
}

/// CRC-16/X-25.
fn crc(parts: [&[u8]; 2]) -> [u8; 2] {
    let mut crc = 0xFFFF_u16;
    for byte in parts.into_iter().flatten() {
        crc ^= u16::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0x8408 };
        }
    }
    (!crc).to_be_bytes()
}

impl Chip {
    fn zone(&mut self, zone: u8, offset: [u8; 2], len: usize) -> Option<&mut [u8]> {
        let before = ZONES.iter().take_while(|(index, _)| *index != zone);
        let start = before.map(|(_, size)| usize::from(*size)).sum::<usize>();
        let start = start + usize::from(u16::from_be_bytes(offset));
        self.memory.get_mut(start..start + len)
    }

    /// Executes a command and puts the answer's data behind its prefix; gives their length.
    fn execute(&mut self, command: &[u8]) -> Option<usize> {
        match *command {
            // Query: data partition, host key slot.
            [0x14, 0x12] => {
                let table = ZONES.iter().flat_map(|(index, size)| {
                    let [high, low] = size.to_be_bytes();
                    [*index, 0, 0, high, low]
                });
                let bytes = core::iter::once(8).chain(table);
                self.response.iter_mut().skip(3).zip(bytes).for_each(|(to, from)| *to = from);
                Some(1 + 5 * ZONES.len())
            }
            [0x14, 0x17] => {
                *self.response.get_mut(3)? = 0;
                Some(1)
            }
            [0x02, 0x00, len] => {
                for byte in self.response.iter_mut().skip(3).take(len.into()) {
                    self.random = self.random.wrapping_mul(5).wrapping_add(7);
                    *byte = self.random;
                }
                Some(len.into())
            }
            [0x05, _, zone, high, low, len_high, len_low] => {
                let len = usize::from(u16::from_be_bytes([len_high, len_low]));
                let mut piece = [0; 500];
                let piece = piece.get_mut(..len)?;
                piece.copy_from_slice(self.zone(zone, [high, low], len)?);
                self.response.get_mut(3..3 + len)?.copy_from_slice(piece);
                Some(len)
            }
            [0x06, _, zone, high, low, ref data @ ..] => {
                self.zone(zone, [high, low], data.len())?.copy_from_slice(data);
                Some(0)
            }
            _ => None,
        }
    }

    fn take(&mut self, frame: &[u8]) {
        let Some((command, sum)) = frame.split_last_chunk::<2>() else { return };
        assert!(*sum == crc([command, &[]]));
        let len = self.execute(command).unwrap_or_default();
        let [high, low] = u16::try_from(len + 2).unwrap_or_default().to_be_bytes();
        self.response[..3].copy_from_slice(&[0, high, low]);
        let sum = crc([&self.response[..1], &self.response[3..3 + len]]);
        self.response[3 + len..5 + len].copy_from_slice(&sum);
        self.len = 5 + len;
    }
}

impl ErrorType for &mut Chip {
    type Error = Infallible;
}

impl I2c for &mut Chip {
    fn transaction(&mut self, _: u8, operations: &mut [Operation<'_>]) -> Result<(), Infallible> {
        for operation in operations {
            match operation {
                Operation::Write(frame) => self.take(frame),
                Operation::Read(out) => {
                    let answer = self.response.iter().take(self.len).chain(core::iter::repeat(&0xFF));
                    out.iter_mut().zip(answer).for_each(|(to, from)| *to = *from);
                }
            }
        }
        Ok(())
    }
}

/// Time does not pass: only the vault's own work is counted.
struct NoDelay;

impl DelayNs for NoDelay {
    fn delay_ns(&mut self, _: u32) {}
}

pub(crate) fn run() {
    let mut chip = Chip { memory: [0; MEMORY], response: [0; 512], len: 0, random: 1 };
    step("zones", || {
        let mut bus = &mut chip;
        for frame in [&[0x14, 0x12, 0xCE, 0x25][..], &[0x14, 0x17, 0x99, 0x88]] {
            let _ = bus.write(0x20, frame);
        }
        let mut out = [0; 64];
        let _ = bus.read(0x20, &mut out);
        NoDelay.delay_ns(out.iter().map(|byte| u32::from(*byte)).sum());
    });
    #[cfg(feature = "stsafe-vault")]
    vault(&mut chip);
}

#[cfg(feature = "stsafe-vault")]
fn vault(chip: &mut Chip) {
    use devkit_settings::Setting;
    use stsafe_a100::blocking::{Stsafe, Vault};

    let mut chip = Some(Stsafe::new(chip, NoDelay));
    let vault = step("open", || chip.take().and_then(|chip| Vault::open(chip).ok()));
    let Some(mut vault) = vault else { panic!("the vault does not open") };
    cortex_m_semihosting::hprintln!("bytes of the vault with its driver\t{}\t", size_of_val(&vault));
    assert!(step("generate a UDS", || vault.generate(Setting::Uds, false).is_ok()));
    assert!(step("read the UDS", || vault.get(Setting::Uds, &mut [0; 32]) == Ok(Some(32))));
    assert!(step("store an SSID of 6 bytes", || vault.set(Setting::WifiSsid, b"HomeAP").is_ok()));
}
