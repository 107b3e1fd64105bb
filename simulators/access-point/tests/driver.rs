//! The board's own driver, with `embassy-net` on it, through the access point to a server on this machine.

mod common;

use bcm43362::command::{Command, Response, Transfer};
use bcm43362::{
    BlobSource, Clock, Config, EmbassyTimer, Key, Nvram, Polled, Region, SdioBus, SdioError, SdioErrorKind,
    Security, Ssid, State, Width,
};
use common::{PASSPHRASE, RealCard, SSID, exchange, serve, stack};
use embassy_futures::select::{Either3, select3};
use peripherals::RadioModel;

#[derive(Debug)]
struct Failure(SdioErrorKind);

impl SdioError for Failure {
    fn kind(&self) -> SdioErrorKind {
        self.0
    }
}

struct Controller(RealCard);

impl SdioBus for Controller {
    type Error = Failure;

    fn set_clock(&mut self, _: Clock) {}

    fn set_width(&mut self, _: Width) {}

    async fn command(&mut self, command: Command) -> Result<u32, Failure> {
        match self.0.now().command(command.index, command.argument) {
            _ if command.response == Response::None => Ok(0),
            answer => answer.ok_or(Failure(SdioErrorKind::NoResponse)),
        }
    }

    async fn read(&mut self, transfer: Transfer, out: &mut [u8]) -> Result<u32, Failure> {
        let answer = self.command(transfer.command(false)).await?;
        embassy_futures::yield_now().await;
        let data = self.0.now().read_data().ok_or(Failure(SdioErrorKind::Data))?;
        out.copy_from_slice(&data);
        Ok(answer)
    }

    async fn write(&mut self, transfer: Transfer, data: &[u8]) -> Result<u32, Failure> {
        let answer = self.command(transfer.command(true)).await?;
        embassy_futures::yield_now().await;
        if self.0.now().write_data(data) { Ok(answer) } else { Err(Failure(SdioErrorKind::Data)) }
    }
}

/// The radio's firmware: something that begins with vectors.
struct Flash;

impl BlobSource for Flash {
    type Error = std::convert::Infallible;

    async fn read(&mut self, _: u32, out: &mut [u8]) -> Result<(), Self::Error> {
        out.fill(1);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_driver_gets_an_address_and_moves_data_and_comes_back_after_a_loss() {
    let card = RealCard::new(RadioModel::Bcm43362);
    serve(&card).await;
    let air = card.now().air();
    let state = Box::leak(Box::new(State::<4, 3>::new()));
    let (device, mut control, mut runner) =
        bcm43362::new(state, Controller(card.clone()), EmbassyTimer, Polled, Config::default());
    let (stack, mut network) = stack(device);
    let work = async {
        control.running().await;
        let join = async |control: &mut bcm43362::Control<'static>| {
            let security = Security::Wpa2(Key::new(PASSPHRASE).unwrap());
            control.join(Ssid::new(SSID.as_bytes()).unwrap(), security).await.unwrap();
        };
        join(&mut control).await;
        exchange(stack, 2_000_000, 32 * 1024).await;
        assert!(air.deauthenticate(7));
        control.lost().await.unwrap();
        stack.wait_link_down().await;
        join(&mut control).await;
        exchange(stack, 1000, 2048).await;
    };
    let nvram = Nvram::new(b"boardtype=0x0598\0").unwrap();
    let region = Region { address: 0, len: 4096 };
    match select3(work, runner.run(&mut Flash, region, nvram), network.run()).await {
        Either3::First(()) => {}
        Either3::Second(error) => panic!("{error}"),
        Either3::Third(never) => match never {},
    }
    assert_eq!(card.now().violations(), [""; 0]);
}
