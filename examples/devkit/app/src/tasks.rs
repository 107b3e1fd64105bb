//! What runs beside the main task: screen, lamps and buttons; the sensors; text to the terminal; the watchdog.

use core::pin::pin;

use embassy_futures::join::join4;
use embassy_time::{Duration, Instant, Timer, with_timeout};
use embedded_io_async::Write;

use crate::board::{Board, Button, Lamp, Link, Panel, Rgb, System};
use crate::display::Display;
use crate::sensors::Sensors;
use crate::shared::{Bus, Device, Shared};
use crate::vigil::Task;

/// Between two looks at the buttons, and two pictures.
const FRAME: Duration = Duration::from_millis(50);
/// Between two readings of the sensors: the shortest interval of telemetry.
const READING: Duration = Duration::from_millis(500);
/// Between two meals of the watchdog.
const FEEDING: Duration = Duration::from_millis(500);
/// How long the terminal may take for a piece of text. Text it does not take is lost, and nothing else waits for it.
const TERMINAL: Duration = Duration::from_secs(1);
/// Every task here comes again in this time, in milliseconds, even when a device on the bus hangs for a while.
const PROMISE_MS: u32 = 10_000;

/// Runs them until the main task is over. `console` is where the log goes; without it nobody reads the log.
pub(crate) async fn run<B: Board>(
    bus: &Bus<'_, B::I2c>,
    panel: &mut B::Panel,
    link: &B::Link,
    console: Option<&mut B::Console>,
    shared: &Shared<'_, B::System>,
) {
    join4(
        pin!(show::<B>(Device::new(bus), panel, link, shared)),
        pin!(measure::<B>(Device::new(bus), shared)),
        pin!(async {
            if let Some(console) = console {
                print::<B>(console, shared).await;
            }
        }),
        pin!(feed::<B>(shared)),
    )
    .await;
}

async fn show<B: Board>(
    i2c: Device<'_, '_, B::I2c>,
    panel: &mut B::Panel,
    link: &B::Link,
    shared: &Shared<'_, B::System>,
) {
    let mut display = Display::new(i2c);
    let mut lamps = [false; 3];
    let mut rgb = Rgb::OFF;
    let mut a_was_down = true;
    loop {
        // Looked at before the picture is made, so that the last one is shown.
        let over = shared.over.get();
        shared.promise(Task::Panel, PROMISE_MS);
        let a_is_down = panel.is_pressed(Button::A).await;
        if a_is_down && !a_was_down {
            shared.nudge.signal(());
        }
        a_was_down = a_is_down;
        let b_is_down = panel.is_pressed(Button::B).await;
        let now = Instant::now().as_millis();
        let (rows, new_lamps, new_rgb) = {
            let mut status = shared.status.borrow_mut();
            status.asked = b_is_down;
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
        if over {
            shared.vigil.borrow_mut().excuse(Task::Panel);
            return;
        }
        Timer::after(FRAME).await;
    }
}

async fn measure<B: Board>(i2c: Device<'_, '_, B::I2c>, shared: &Shared<'_, B::System>) {
    let mut sensors = Sensors::new(i2c);
    while !shared.over.get() {
        shared.promise(Task::Sensors, PROMISE_MS);
        shared.reading.set(sensors.read().await);
        rest(READING, shared).await;
    }
    shared.vigil.borrow_mut().excuse(Task::Sensors);
}

async fn print<B: Board>(console: &mut B::Console, shared: &Shared<'_, B::System>) {
    let mut piece = [0; 64];
    loop {
        let over = shared.over.get();
        shared.promise(Task::Log, PROMISE_MS);
        // Wakes up now and then to see whether all is over.
        let len = with_timeout(FRAME, shared.log.wait(&mut piece)).await.unwrap_or(0);
        let text = piece.get(..len).unwrap_or_default();
        if !text.is_empty() {
            // A terminal that is not there does not stop the device.
            let _ = with_timeout(TERMINAL, async {
                console.write_all(text).await?;
                console.flush().await
            })
            .await;
        } else if over {
            shared.vigil.borrow_mut().excuse(Task::Log);
            return;
        }
    }
}

async fn feed<B: Board>(shared: &Shared<'_, B::System>) {
    while !shared.over.get() {
        if shared.vigil.borrow().all_well(Instant::now().as_millis()) {
            shared.system.borrow_mut().feed_watchdog();
        }
        rest(FEEDING, shared).await;
    }
}

/// Waits, or until all is over.
async fn rest<S>(time: Duration, shared: &Shared<'_, S>) {
    let end = Instant::now() + time;
    while !shared.over.get() && Instant::now() < end {
        Timer::after(FRAME).await;
    }
}
