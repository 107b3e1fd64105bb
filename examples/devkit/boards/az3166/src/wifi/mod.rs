//! The network over the board's radio: brought up, joined and kept joined by tasks of its own.

mod connection;
mod network;
mod settings;

use az3166_radio::{QspiFlash, Sdio, reset_radio};
use azure_iot_embassy::random::RANDOM;
use bcm43362::{Config, EmbassyTimer, OutOfBand, Region, Runner, State};
use devkit_common::network::StackNetwork;
use embassy_executor::Spawner;
use embassy_net::{DhcpConfig, StackResources};
use embassy_stm32::exti::{self, ExtiInput};
use embassy_stm32::gpio::Pull;
use embassy_stm32::interrupt::typelevel;
use embassy_stm32::mode::Async;
use embassy_stm32::peripherals::{EXTI0, PC0};
use embassy_stm32::{Peri, bind_interrupts};
use embassy_time::Timer;
use static_cell::StaticCell;

use crate::board::extra_root;
use connection::{Connection, ConnectionTask};
pub(crate) use network::{WifiLink as BoardLink, WifiNetwork as BoardNetwork};

/// DHCP, name queries, the time, and two connections.
const SOCKETS: usize = 6;
/// The wait before a failed radio is started again, in milliseconds: doubled after each failure, up to the maximum.
const RESTART_MS: u64 = 500;
const MAX_RESTART_MS: u64 = 60_000;

bind_interrupts!(struct Interrupts {
    EXTI0 => exti::InterruptHandler<typelevel::EXTI0>;
});

type Pin = OutOfBand<ExtiInput<'static, Async>>;

/// What the radio's pins and controllers are; the rest of them `az3166-radio` takes itself.
pub(crate) struct Parts {
    pub(crate) interrupt: Peri<'static, PC0>,
    pub(crate) interrupt_line: Peri<'static, EXTI0>,
}

/// Starts the network's tasks. The frames, which pass through the stack on their way to their memory, are not to be
/// part of the caller's stack frame.
#[inline(never)]
pub(crate) fn start(spawner: Spawner, parts: Parts) -> (BoardNetwork, BoardLink) {
    static STATE: StaticCell<State<'static>> = StaticCell::new();
    static CONNECTION: StaticCell<Connection> = StaticCell::new();
    static RESOURCES: StaticCell<StackResources<SOCKETS>> = StaticCell::new();
    let pin = ExtiInput::new(parts.interrupt, parts.interrupt_line, Pull::Down, Interrupts);
    let (device, control, runner) = bcm43362::new(
        STATE.init_with(State::new),
        Sdio::new(),
        EmbassyTimer,
        OutOfBand(pin),
        Config::default(),
    );
    // Ports and sequence numbers; without random numbers there is no TLS anyway.
    let mut seed = [0; 8];
    let _ = RANDOM.fill(&mut seed);
    let (stack, stack_runner) = embassy_net::new(
        device,
        embassy_net::Config::dhcpv4(DhcpConfig::default()),
        RESOURCES.init(StackResources::new()),
        u64::from_le_bytes(seed),
    );
    let connection: &'static Connection = CONNECTION.init(Connection::new(settings::is_there()));
    let tasks = (
        radio_task(runner, connection),
        connection_task(ConnectionTask::new(control, connection)),
        stack_task(stack_runner),
    );
    let (Ok(radio), Ok(task), Ok(stack_task)) = tasks else { panic!("a task was spawned twice") };
    spawner.spawn(radio);
    spawner.spawn(task);
    spawner.spawn(stack_task);
    let network = BoardNetwork::new(StackNetwork::new(stack, extra_root()), stack, connection);
    (network, BoardLink::new(stack, connection))
}

/// Runs the radio, and starts it anew whenever it fails. Without its settings it stays in reset.
#[embassy_executor::task]
async fn radio_task(mut runner: Runner<'static, Sdio, EmbassyTimer, Pin>, connection: &'static Connection) {
    let Some(nvram) = settings::nvram() else { return };
    connection.wanted().await;
    let mut flash = QspiFlash::new();
    let mut wait = RESTART_MS;
    loop {
        reset_radio(&mut EmbassyTimer).await;
        let started = embassy_time::Instant::now();
        let error = runner.run(&mut flash, Region::AZ3166, nvram).await;
        connection.radio_failed(error);
        wait = if started.elapsed().as_millis() > MAX_RESTART_MS {
            RESTART_MS
        } else {
            (2 * wait).min(MAX_RESTART_MS)
        };
        Timer::after_millis(wait).await;
    }
}

#[embassy_executor::task]
async fn connection_task(task: ConnectionTask) {
    task.run().await;
}

#[embassy_executor::task]
async fn stack_task(mut runner: embassy_net::Runner<'static, bcm43362::Device<'static>>) {
    runner.run().await;
}
