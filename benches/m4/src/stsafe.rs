//! The STSAFE-A100 driver against recorded answers.
//!
//! The features stack up: `stsafe-bus` links only this player and its answers, so that the difference of an image to
//! it is the driver's own flash. Answers and keys are those of the recorded transcript `stselib_a100.json` in the
//! driver's tests.

use core::cell::Cell;
use core::convert::Infallible;

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{ErrorType, I2c, Operation};

use crate::measure::step;

/// Gives the current answer to whatever is written.
struct Player<'a>(&'a Cell<&'static [u8]>);

impl ErrorType for Player<'_> {
    type Error = Infallible;
}

impl Player<'_> {
    fn play(&self, operations: &mut [Operation<'_>]) {
        for operation in operations {
            match operation {
                Operation::Write(frame) => {
                    core::hint::black_box(frame);
                }
                Operation::Read(out) => {
                    let answer = self.0.get().iter().chain(core::iter::repeat(&0xFF));
                    out.iter_mut().zip(answer).for_each(|(to, from)| *to = *from);
                }
            }
        }
    }
}

impl I2c for Player<'_> {
    fn transaction(&mut self, _: u8, operations: &mut [Operation<'_>]) -> Result<(), Infallible> {
        self.play(operations);
        Ok(())
    }
}

#[cfg(feature = "stsafe-async")]
impl embedded_hal_async::i2c::I2c for Player<'_> {
    async fn transaction(&mut self, _: u8, operations: &mut [Operation<'_>]) -> Result<(), Infallible> {
        self.play(operations);
        Ok(())
    }
}

/// Time does not pass: only the driver's own work is counted.
struct NoDelay;

impl DelayNs for NoDelay {
    fn delay_ns(&mut self, _: u32) {}
}

#[cfg(feature = "stsafe-async")]
impl embedded_hal_async::delay::DelayNs for NoDelay {
    async fn delay_ns(&mut self, _: u32) {}
}

pub(crate) fn run() {
    let answer = Cell::new(&[][..]);
    let mut player = Player(&answer);
    step("bus", || {
        let mut total = 0u32;
        for recorded in
            [&RANDOM_32[..], &PARTITION, &SIGNATURE, &ECHO_MACED, &WRAPPED, &UNWRAPPED, &ESTABLISHED, &PEER]
        {
            answer.set(recorded);
            let mut out = [0; 512];
            let _ = player.transaction(0x20, &mut [Operation::Read(&mut out)]);
            total += out.iter().map(|byte| u32::from(*byte)).sum::<u32>();
        }
        NoDelay.delay_ns(total);
        total
    });
    #[cfg(feature = "stsafe-plain")]
    plain(&answer);
    #[cfg(feature = "stsafe-host")]
    host(&answer);
    #[cfg(feature = "stsafe-async")]
    asynch(&answer);
}

#[cfg(feature = "stsafe-plain")]
fn plain(answer: &Cell<&'static [u8]>) {
    let mut chip = stsafe_a100::blocking::Stsafe::new(Player(answer), NoDelay);
    cortex_m_semihosting::hprintln!("bytes of the driver\t{}\t", size_of_val(&chip));
    answer.set(&RANDOM_32);
    step("random of 32 bytes", || chip.random(&mut [0; 32]).is_ok());
    answer.set(&PARTITION);
    step("partition table", || chip.partition().is_ok_and(|table| table.zones().count() == 7));
    answer.set(&SIGNATURE);
    step("signature", || chip.sign(0, &[1; 32]).is_ok());
}

/// Keys and counters of the recording.
#[cfg(any(feature = "stsafe-host", feature = "stsafe-async"))]
mod session {
    use stsafe_a100::session::{Counter, HostKeys, HostOptions};

    pub(super) fn keys() -> HostKeys {
        devkit_settings::pairing::level1_keys()
    }

    pub(super) fn at(counter: u32) -> HostOptions {
        HostOptions { counter: Counter::new(counter), ..HostOptions::default() }
    }
}

#[cfg(feature = "stsafe-host")]
fn host(answer: &Cell<&'static [u8]>) {
    use session::{at, keys};
    use stsafe_a100::blocking::Stsafe;
    use stsafe_a100::session::SoftCrypto;
    use stsafe_a100::types::{Curve, PublicKey};

    let session =
        |counter| Stsafe::new(Player(answer), NoDelay).host_session_with(keys(), SoftCrypto, at(counter));
    let mut chip = session(0);
    cortex_m_semihosting::hprintln!("bytes of the driver in a host session\t{}\t", size_of_val(&chip));
    answer.set(&ECHO_MACED);
    assert!(step("echo of 1 byte, MACed", || chip.echo(&[0xA4]).is_ok()));

    let envelope = WRAPPED.get(3..491).unwrap_or_default();
    let mut content = [0; 480];
    let mut chip = session(265);
    answer.set(&UNWRAPPED);
    assert!(step("unwrap of 480 bytes", || chip.unwrap(0, envelope, &mut content).is_ok()));
    let mut chip = session(264);
    answer.set(&WRAPPED);
    let mut wrapped = [0; 488];
    assert!(step("wrap of 480 bytes", || chip.wrap(0, &content, &mut wrapped).is_ok()));
    assert!(wrapped == *envelope);

    let (x, y) = PEER.split_at(32);
    if let Ok(peer) = PublicKey::new(Curve::NistP256, x, y) {
        let mut chip = session(266);
        answer.set(&ESTABLISHED);
        assert!(step("establish key P-256", || chip.establish_key(0, &peer).is_ok()));
    }
}

#[cfg(feature = "stsafe-async")]
fn asynch(answer: &Cell<&'static [u8]>) {
    use core::future::Future;
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};

    use session::{at, keys};
    use stsafe_a100::asynch::Stsafe;
    use stsafe_a100::session::SoftCrypto;

    fn ready<T>(name: &str, future: impl Future<Output = T>) -> Option<T> {
        cortex_m_semihosting::hprintln!("bytes of the future, {}\t{}\t", name, size_of_val(&future));
        let mut future = pin!(future);
        step(name, || match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        })
    }

    let session =
        |counter| Stsafe::new(Player(answer), NoDelay).host_session_with(keys(), SoftCrypto, at(counter));
    let mut chip = session(0);
    answer.set(&ECHO_MACED);
    assert!(matches!(ready("echo of 1 byte, MACed", chip.echo(&[0xA4])), Some(Ok(()))));
    let envelope = WRAPPED.get(3..491).unwrap_or_default();
    let mut content = [0; 480];
    let mut chip = session(265);
    answer.set(&UNWRAPPED);
    assert!(matches!(ready("unwrap of 480 bytes", chip.unwrap(0, envelope, &mut content)), Some(Ok(480))));
}

/// Hex digits to bytes, at compile time.
const fn hex<const N: usize>(digits: &str) -> [u8; N] {
    const fn nibble(digit: u8) -> u8 {
        match digit {
            b'0'..=b'9' => digit - b'0',
            _ => digit - b'a' + 10,
        }
    }
    assert!(digits.len() == 2 * N);
    let digits = digits.as_bytes();
    let mut out = [0; N];
    let mut i = 0;
    while i < N {
        out[i] = nibble(digits[2 * i]) << 4 | nibble(digits[2 * i + 1]);
        i += 1;
    }
    out
}

const RANDOM_32: [u8; 37] = hex("00002282d93fddcd6560fd65c58adf05fc2599e677aeec910d3e5e2443132d180685ede39e");
const PARTITION: [u8; 45] =
    hex("00002a0700000003d002000000c0030088007805010000400007a12006001102a807000103100a00070058375a");
const SIGNATURE: [u8; 73] =
    hex("0000460020d65454c840857c051a7b1ca975b6493e604f8d4a7dcfd093b3a0b9a17e80d7e1002060047bd7d03e562267\
    1a4baa2cb59b0ae32389b082c753151d2f6d1d161917c63371");
const ECHO_MACED: [u8; 10] = hex("400007a4090367635d4d");
const WRAPPED: [u8; 497] =
    hex("4001ee6c3d07c893c596a51b06ef3f3077a51394dbf7e6b5f2e9935472eb34af8a56e5e7c31e59871f13abe194af22e3\
    9c970c4f852a7b6e28a44c6cfad8fa19b9d91d5c01bb7d0b44bd7be9ef3a83c3104213c915aed522cf9adbbd64d44fc7\
    ceba68024aa72b5aef173c1415868c7649be3c9c88dc72c05630836466bcb12ffd081a9a1bd10164bfc0413becd4036c\
    e855d1a3a09e98aeb1120092cff9deda1abaab40d580b1869cdee8883c8a4b1d61f02d26ab23a6390264a95a7a7f54c1\
    cecc2c05add62bab1c051012a0686de74a2b98d6af129af78466a06d716cf811ea8aa9660c64ecc762123ca869e11c64\
    041e8d4e6bbc244e92eee2d9b5329428c981d65d02552e7c8fabaf3e51fb05ac25f70140170c06556411f440f8bf0035\
    9860a3c31b527933dbc7908c14db4a9eb61a84a80eb90ef47c903b43ba02bb070f4607246543f8f2867432df2dd4ec7e\
    478a1c50a362face9602119399dc6f2c70fb25860abce138afb2da68411dc42fe3710a2bb30ae2e2adf8b255618f2d1f\
    55cc179f8a8ff82500b302b0aa6abedf3325b6aee5d32a956cb9d558f0c78a3ebe8a058e65b42ca4362272673af82673\
    8e39d46f383d49dda7022a8bb9db9c0fac05141bb5279af3812bf6e26ac84c9e8f4be31d02cb563e920dd1b92a814ac7\
    cb2f18a8200d75253baab570de4fe54a7a");
const UNWRAPPED: [u8; 505] =
    hex("4001f64ec241964e3903080897b4ab6f1be05b9beba1a933ededa050feca18785454f6dc99d23a12b9577c5e28ae652e\
    ab6f95da8deb2163b0e779d98a4ebc5b60396ce1898d857ab8995449b1e7bc72aa1c544189fd53348e2e34f223375d2c\
    5715cc89a55f03393bc9a25c8b793f6ae9f81aa2663d41e8c33c1b639ed086b113ad2251a124a82e641e00ecb34a9458\
    e824e3d1c051c035272175813f81f172240dfb2be4b26b5f55c9bd27def09c50e1cd47e0aac9d6ac3ba0feaa521fae0c\
    4298c8f903a5edb6dd948b38b2cb0ad686aa87eb5ad0e21ad761e5e69c0a3ada4127fce5e3ef96ee2cb959d669ed2ecd\
    ecf4c1c88f8c2e405de52ca7a96373d65436635008e401919f80570240a38f077c824982d74292ed0d136fa1cbea044c\
    6e99d0ae3e9b3679839c491727e335963b2f0ad531ff576ad04a4d20caa7662140199c6dc55e8655eb2984d45df39827\
    0bdc7fca07b0d26dc05aea475290730c04dda0af9072e1abf5511eb3c094fe55a8c646c24d4bb8cbaa5fcf38ec41c7a9\
    0fd0ba982a32b0cfd5639b8677e974e8569e60d313b635c3f7708efdedf247614e1097dcf9234e08be0592bd989f9d94\
    1bb0befd9031fa1f260f1a2cbe35a230d06ce777f0afae9eebf89ea20bf0e8e85f239379429b304e44faa57988128042\
    3c023b7d413fb14978557d3d81cd962173b4c1f6be0b19f01a");
const ESTABLISHED: [u8; 57] =
    hex("400036f09543198582d1d216ff552d54771568903aa397fb7f2a73d578fec9da96e9d051d84fe5fab3572c88c7acf119\
    edabeb69f2c7169dca");
const PEER: [u8; 64] =
    hex("eab0abb68394cf55ce7bc91a450ef51555b03d6ac3d70d706daf43438fa485a31ff79d5b838225fdfa1c99d1caa5f2c3\
    297f4ab01f1a6df85d520a58323890de");
