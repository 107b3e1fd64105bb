//! A driver that is proven on silicon of the family – `cyw43`, as it is published – joins over the virtual card and
//! moves data. What it accepts is not our own opinion of the protocol.

mod common;

use std::convert::Infallible;
use std::time::{Duration, Instant};

use common::{PASSPHRASE, RealCard, SSID, exchange, serve, stack};
use cyw43::{A4, Aligned, JoinAuth, JoinError, JoinOptions, PowerManagementMode, SdioBusCyw43};
use embassy_futures::select::{Either3, select3};
use peripherals::RadioModel;

/// Bytes each way.
const AMOUNT: usize = 10 * 1000 * 1000;

/// It drops what it receives when eight frames wait: no more than that are on their way.
const WINDOW: usize = 8 * 1460;

/// The controller that the driver wants.
struct Controller(RealCard);

impl Controller {
    /// Selects the card, which is not the driver's business.
    fn new(card: RealCard) -> Self {
        card.now().command(5, 0x0030_0000).unwrap();
        std::thread::sleep(Duration::from_millis(10));
        assert_eq!(card.now().command(5, 0x0030_0000).unwrap() >> 31, 1);
        let address = card.now().command(3, 0).unwrap();
        card.now().command(7, address).unwrap();
        Self(card)
    }

    /// Others work while a transfer goes on.
    async fn read(&mut self, arg: u32, out: &mut [u8]) -> Result<(), Infallible> {
        embassy_futures::yield_now().await;
        let mut card = self.0.now();
        card.command(53, arg);
        if let Some(data) = card.read_data() {
            out.copy_from_slice(&data);
        }
        Ok(())
    }

    async fn write(&mut self, arg: u32, data: &[u8]) -> Result<(), Infallible> {
        embassy_futures::yield_now().await;
        let mut card = self.0.now();
        card.command(53, arg);
        assert!(card.write_data(data));
        Ok(())
    }
}

impl SdioBusCyw43<64> for Controller {
    type Error = Infallible;

    fn set_bus_to_high_speed(&mut self, _: u32) -> Result<(), Infallible> {
        Ok(())
    }

    async fn cmd52(&mut self, arg: u32) -> Result<u16, Infallible> {
        let answer = self.0.now().command(52, arg).unwrap();
        Ok(u16::try_from(answer & 0xFFFF).unwrap())
    }

    async fn cmd53_block_read(
        &mut self,
        arg: u32,
        blocks: &mut [Aligned<A4, [u8; 64]>],
    ) -> Result<(), Infallible> {
        let mut bytes = vec![0; 64 * blocks.len()];
        self.read(arg, &mut bytes).await?;
        blocks.iter_mut().zip(bytes.chunks_exact(64)).for_each(|(block, bytes)| block.copy_from_slice(bytes));
        Ok(())
    }

    async fn cmd53_byte_read(&mut self, arg: u32, buffer: &mut Aligned<A4, [u8]>) -> Result<(), Infallible> {
        self.read(arg, buffer).await
    }

    async fn cmd53_block_write(
        &mut self,
        arg: u32,
        blocks: &[Aligned<A4, [u8; 64]>],
    ) -> Result<(), Infallible> {
        let bytes: Vec<u8> = blocks.iter().flat_map(|block| block.iter().copied()).collect();
        self.write(arg, &bytes).await
    }

    async fn cmd53_byte_write(&mut self, arg: u32, buffer: &Aligned<A4, [u8]>) -> Result<(), Infallible> {
        self.write(arg, buffer).await
    }
}

fn options(passphrase: &str) -> JoinOptions<'_> {
    let mut options = JoinOptions::new(passphrase.as_bytes());
    options.auth = JoinAuth::Wpa2;
    options
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_published_driver_joins_and_moves_ten_megabytes_each_way() {
    let card = RealCard::new(RadioModel::Cyw43439);
    serve(&card).await;
    let state = Box::leak(Box::new(cyw43::State::new()));
    // Something that begins with vectors: what runs is the model.
    let firmware: &Aligned<A4, [u8]> = &Aligned([1; 5000]);
    let nvram: &Aligned<A4, [u8]> = &Aligned(*b"boardtype=0x0598\0xtalfreq=26000\0");
    let (device, mut control, runner) =
        cyw43::new_sdio(state, Controller::new(card.clone()), firmware, nvram).await;
    let (stack, mut network) = stack(device);
    let work = async {
        control.init(&[7; 1500]).await;
        control.set_power_management(PowerManagementMode::None).await;
        let mut scan = control.scan(cyw43::ScanOptions::default()).await;
        let found = scan.next().await.unwrap();
        assert_eq!((&found.ssid[..usize::from(found.ssid_len)], { found.rssi }), (SSID.as_bytes(), -55));
        assert!(scan.next().await.is_none());
        drop(scan);
        let wrong = control.join(SSID, options("correct horse batterz")).await;
        assert!(matches!(wrong, Err(JoinError::AuthenticationFailure)), "{wrong:?}");
        let nowhere = control.join("nowhere", options(PASSPHRASE)).await;
        assert!(matches!(nowhere, Err(JoinError::NetworkNotFound)), "{nowhere:?}");
        control.join(SSID, options(PASSPHRASE)).await.unwrap();
        assert_eq!(control.get_rssi().await, -55);
        let since = Instant::now();
        exchange(stack, AMOUNT, WINDOW).await;
        println!("{AMOUNT} bytes each way in {:?}", since.elapsed());
        control.leave().await;
    };
    match select3(work, runner.run(), network.run()).await {
        Either3::First(()) => {}
        Either3::Second(never) | Either3::Third(never) => match never {},
    }
    assert_eq!(card.now().violations(), [""; 0]);
}
