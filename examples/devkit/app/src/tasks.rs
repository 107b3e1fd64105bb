//! What runs beside the main task: screen, lamps and buttons; the sensors; text to the terminal; the watchdog.

use core::pin::pin;

use embassy_futures::join::join4;
use embassy_time::{Duration, Instant, Timer, with_timeout};
use embedded_io_async::Write;

use crate::board::{Board, Button, Lamp, NetworkLink, Panel, Rgb, System};
use crate::display::Display;
use crate::sensors::Sensors;
use crate::shared::{I2cBus, I2cHandle, Shared};
use crate::watchdog::Task;

/// How often the buttons are polled and the display is redrawn.
const FRAME_INTERVAL: Duration = Duration::from_millis(50);
/// How often the sensors are read: the shortest telemetry interval.
const SENSOR_INTERVAL: Duration = Duration::from_millis(500);
/// How often the watchdog is fed.
const WATCHDOG_INTERVAL: Duration = Duration::from_millis(500);
/// How long the terminal may take for a piece of text. Text it does not take is lost, and nothing else waits for it.
const TERMINAL_TIMEOUT: Duration = Duration::from_secs(1);
/// Every task here checks in again within this time, in milliseconds, even when a device on the bus hangs for a while.
const CHECK_IN_MS: u32 = 10_000;

/// Runs them until the main task has ended. `console` is where the log goes; without it the log is not printed.
pub(crate) async fn run<B: Board>(
    bus: &I2cBus<'_, B::I2c>,
    panel: &mut B::Panel,
    link: &B::Link,
    console: Option<&mut B::Console>,
    shared: &Shared<'_, B::System>,
) {
    join4(
        pin!(run_panel::<B>(I2cHandle::new(bus), panel, link, shared)),
        pin!(run_sensors::<B>(I2cHandle::new(bus), shared)),
        pin!(async {
            if let Some(console) = console {
                print_log::<B>(console, shared).await;
            }
        }),
        pin!(feed_watchdog::<B>(shared)),
    )
    .await;
}

async fn run_panel<B: Board>(
    i2c: I2cHandle<'_, '_, B::I2c>,
    panel: &mut B::Panel,
    link: &B::Link,
    shared: &Shared<'_, B::System>,
) {
    let mut display = Display::new(i2c);
    let mut lamps = [false; 3];
    let mut rgb = Rgb::OFF;
    let mut a_was_down = true;
    loop {
        // Read before the rows are made, so that the last state is still shown.
        let finished = shared.finished.get();
        shared.check_in(Task::Panel, CHECK_IN_MS);
        let a_is_down = panel.is_pressed(Button::A).await;
        if a_is_down && !a_was_down {
            shared.send_now.signal(());
        }
        a_was_down = a_is_down;
        let b_is_down = panel.is_pressed(Button::B).await;
        let now = Instant::now().as_millis();
        let (rows, new_lamps, new_rgb) = {
            let mut status = shared.status.borrow_mut();
            status.shows_identity = b_is_down;
            status.set_network(link.address(), link.problem());
            (status.rows(now), status.lamps(), status.rgb(now))
        };
        for ((lamp, on), was_on) in
            [Lamp::Wifi, Lamp::Azure, Lamp::User].into_iter().zip(new_lamps).zip(lamps)
        {
            if on != was_on {
                panel.set_lamp(lamp, on).await;
            }
        }
        lamps = new_lamps;
        if new_rgb != rgb {
            panel.set_rgb(new_rgb).await;
            rgb = new_rgb;
        }
        display.show(&rows).await;
        if finished {
            shared.supervisor.borrow_mut().suspend(Task::Panel);
            return;
        }
        Timer::after(FRAME_INTERVAL).await;
    }
}

async fn run_sensors<B: Board>(i2c: I2cHandle<'_, '_, B::I2c>, shared: &Shared<'_, B::System>) {
    let mut sensors = Sensors::new(i2c);
    while !shared.finished.get() {
        shared.check_in(Task::Sensors, CHECK_IN_MS);
        shared.reading.set(sensors.read().await);
        wait_unless_finished(SENSOR_INTERVAL, shared).await;
    }
    shared.supervisor.borrow_mut().suspend(Task::Sensors);
}

async fn print_log<B: Board>(console: &mut B::Console, shared: &Shared<'_, B::System>) {
    let mut piece = [0; 64];
    loop {
        let finished = shared.finished.get();
        shared.check_in(Task::Log, CHECK_IN_MS);
        // Wakes up now and then to see whether the main task has ended.
        let len = with_timeout(FRAME_INTERVAL, shared.log.wait(&mut piece)).await.unwrap_or(0);
        let text = piece.get(..len).unwrap_or_default();
        if !text.is_empty() {
            // A terminal that is not there does not stop the device.
            let _ = with_timeout(TERMINAL_TIMEOUT, async {
                console.write_all(text).await?;
                console.flush().await
            })
            .await;
        } else if finished {
            shared.supervisor.borrow_mut().suspend(Task::Log);
            return;
        }
    }
}

async fn feed_watchdog<B: Board>(shared: &Shared<'_, B::System>) {
    while !shared.finished.get() {
        if shared.supervisor.borrow().all_on_time(Instant::now().as_millis()) {
            shared.system.borrow_mut().feed_watchdog();
        }
        wait_unless_finished(WATCHDOG_INTERVAL, shared).await;
    }
}

/// Waits for this time, or until the main task has ended.
async fn wait_unless_finished<S>(time: Duration, shared: &Shared<'_, S>) {
    let end = Instant::now() + time;
    while !shared.finished.get() && Instant::now() < end {
        Timer::after(FRAME_INTERVAL).await;
    }
}
