//! The sensors, read by published drivers and by hand.

use std::cell::RefCell;
use std::rc::Rc;

use embedded_hal::i2c::I2c as _;
use embedded_hal_02::blocking::i2c::{Write, WriteRead};
use lps22hb::LPS22HB;
use lps22hb::interface::{I2cInterface, i2c::I2cAddress};
use peripherals::{Bus, Hts221, Lis2mdl, Lps22hb, Lsm6dsl, TransactionError, shared};

/// The bus for drivers of the former embedded-hal.
#[derive(Clone)]
struct Former(Rc<RefCell<Bus>>);

impl Write for Former {
    type Error = TransactionError;

    fn write(&mut self, address: u8, bytes: &[u8]) -> Result<(), TransactionError> {
        self.0.borrow_mut().write(address, bytes)
    }
}

impl WriteRead for Former {
    type Error = TransactionError;

    fn write_read(&mut self, address: u8, bytes: &[u8], out: &mut [u8]) -> Result<(), TransactionError> {
        self.0.borrow_mut().write_read(address, bytes, out)
    }
}

const SECOND: u64 = 1_000_000_000;

fn read<const N: usize>(bus: &mut Bus, address: u8, register: u8) -> [u8; N] {
    let mut out = [0; N];
    bus.write_read(address, &[register], &mut out).unwrap();
    out
}

#[test]
fn humidity_and_temperature_as_the_published_driver_computes_them() {
    let sensor = shared(Hts221::new());
    let mut bus = Bus::new();
    bus.attach(Hts221::ADDRESS, sensor.clone());
    let mut bus = Former(Rc::new(RefCell::new(bus)));
    let mut driver =
        hts221::Builder::new().with_data_rate(hts221::DataRate::Continuous1Hz).build(&mut bus).unwrap();
    assert_eq!(driver.who_am_i(&mut bus).unwrap().device_id(), 0xBC);
    for (temperature, humidity) in
        [(22_50, 45_00), (-40_00, 25_00), (0, 33_50), (37_50, 70_00), (85_00, 10_000)]
    {
        sensor.lock().unwrap().set(temperature, humidity);
        let status = driver.status(&mut bus).unwrap();
        assert!(!status.temperature_data_available() && !status.humidity_data_available());
        bus.0.borrow_mut().elapse(SECOND);
        let status = driver.status(&mut bus).unwrap();
        assert!(status.temperature_data_available() && status.humidity_data_available());
        let x8 = driver.temperature_x8(&mut bus).unwrap();
        let x2 = driver.humidity_x2(&mut bus).unwrap();
        assert!((i32::from(x8) * 100 - i32::from(temperature) * 8).abs() <= 100, "{temperature}: {x8}");
        assert!((i32::from(x2) * 100 - i32::from(humidity) * 2).abs() <= 100, "{humidity}: {x2}");
    }
}

#[test]
fn the_climate_sensor_measures_once_when_asked_and_not_when_off() {
    let sensor = shared(Hts221::new());
    let mut bus = Bus::new();
    bus.attach(Hts221::ADDRESS, sensor.clone());
    bus.write(Hts221::ADDRESS, &[0x21, 0x01]).unwrap();
    bus.elapse(SECOND);
    assert_eq!(read(&mut bus, Hts221::ADDRESS, 0x27), [0]);
    bus.write(Hts221::ADDRESS, &[0x20, 0x80]).unwrap();
    bus.write(Hts221::ADDRESS, &[0x21, 0x01]).unwrap();
    bus.elapse(SECOND / 1000);
    assert_eq!(read(&mut bus, Hts221::ADDRESS, 0x27), [0]);
    bus.elapse(SECOND / 10);
    assert_eq!((read(&mut bus, Hts221::ADDRESS, 0x27), read(&mut bus, Hts221::ADDRESS, 0x21)), ([3], [0]));
    // Dry: 5 % is beyond the first calibration point, 25 % at -2000.
    sensor.lock().unwrap().set(22_50, 5_00);
    bus.write(Hts221::ADDRESS, &[0x21, 0x01]).unwrap();
    bus.elapse(SECOND / 10);
    let dry = i16::from_le_bytes(read(&mut bus, Hts221::ADDRESS, 0xA8));
    assert_eq!(i32::from(dry), -2000 + (13_500 - 2000) * 20 / 45);
    // Only with the top bit does the address move on.
    let moving: [u8; 4] = read(&mut bus, Hts221::ADDRESS, 0x28 | 0x80);
    let [standing, same] = read(&mut bus, Hts221::ADDRESS, 0x28);
    assert_eq!((standing, same), (moving[0], moving[0]));
    assert_eq!(read(&mut bus, Hts221::ADDRESS, 0x27), [0]);
    // At the end of the addresses it starts over, the top bit standing.
    let around: [u8; 17] = read(&mut bus, Hts221::ADDRESS, 0xFF);
    assert_eq!((around[1], around[16]), (0, 0xBC));
    // Identity and calibration cannot be written.
    let before: [u8; 16] = read(&mut bus, Hts221::ADDRESS, 0xB0);
    bus.write(Hts221::ADDRESS, &[&[0xB0][..], &[0xFF; 16]].concat()).unwrap();
    bus.write(Hts221::ADDRESS, &[0x0F, 0xFF]).unwrap();
    assert_eq!(read(&mut bus, Hts221::ADDRESS, 0xB0), before);
    assert_eq!(read(&mut bus, Hts221::ADDRESS, 0x0F), [0xBC]);
}

fn overrun(driver: &mut LPS22HB<I2cInterface<Former>>) -> (bool, bool) {
    let status = driver.get_data_status().unwrap();
    (status.press_overrun, status.temp_overrun)
}

#[test]
fn pressure_as_the_published_driver_computes_it() {
    let sensor = shared(Lps22hb::new());
    let mut bus = Bus::new();
    bus.attach(Lps22hb::ADDRESS, sensor.clone());
    let bus = Former(Rc::new(RefCell::new(bus)));
    let mut driver = LPS22HB::new(I2cInterface::init(bus.clone(), I2cAddress::SA0_GND));
    assert_eq!(driver.get_device_id().unwrap(), 0xB1);
    driver.one_shot().unwrap();
    assert!(!driver.get_data_status().unwrap().press_available);
    bus.0.borrow_mut().elapse(SECOND / 10);
    assert!(driver.get_data_status().unwrap().press_available);
    assert!((driver.read_pressure().unwrap() - 1013.25).abs() < 0.01);
    assert!((driver.read_temperature().unwrap() - 22.5).abs() < 0.01);
    assert!(!driver.get_data_status().unwrap().press_available);

    driver.set_datarate(lps22hb::ODR::_10Hz).unwrap();
    for (pressure, temperature) in [(26_000, 0), (98_765, 5), (126_000, 85_00)] {
        sensor.lock().unwrap().set(pressure, temperature);
        bus.0.borrow_mut().elapse(SECOND);
        bus.0.borrow_mut().elapse(SECOND);
        assert_eq!(overrun(&mut driver), (true, true));
        let hectopascal = f64::from(driver.read_pressure().unwrap());
        assert!((hectopascal * 100.0 - f64::from(pressure)).abs() < 1.0, "{pressure}: {hectopascal}");
        let degrees = f64::from(driver.read_temperature().unwrap());
        assert!((degrees * 100.0 - f64::from(temperature)).abs() < 1.0, "{temperature}: {degrees}");
        assert_eq!(overrun(&mut driver), (false, false));
    }
}

fn axes(bytes: [u8; 6]) -> [i16; 3] {
    [0, 2, 4].map(|at| i16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

#[test]
fn motion_in_the_range_its_driver_chooses() {
    const AT: u8 = Lsm6dsl::ADDRESS;
    let sensor = shared(Lsm6dsl::new());
    let mut bus = Bus::new();
    bus.attach(AT, sensor.clone());
    assert_eq!(read(&mut bus, AT, 0x0F), [0x6A]);
    bus.elapse(SECOND);
    assert_eq!(read(&mut bus, AT, 0x1E), [0], "both are off");
    // 104 Hz, 2 g; the gyroscope stays off.
    bus.write(AT, &[0x10, 0x40]).unwrap();
    bus.elapse(SECOND / 100);
    assert_eq!(read(&mut bus, AT, 0x1E), [0x05]);
    assert_eq!(axes(read(&mut bus, AT, 0x28)), [0, 0, 16_393]);
    assert_eq!(read(&mut bus, AT, 0x1E), [0x04]);
    // 16 g and 2000 degrees per second; then the least range, where it does not fit.
    sensor.lock().unwrap().set([-8000, 500, 0], [-245_000, 0, 1_000_000]);
    bus.write(AT, &[0x10, 0x44, 0x4C]).unwrap();
    bus.elapse(SECOND / 100);
    assert_eq!(read(&mut bus, AT, 0x1E), [0x07]);
    assert_eq!(axes(read(&mut bus, AT, 0x28)), [-16_393, 1024, 0]);
    assert_eq!(axes(read(&mut bus, AT, 0x22)), [-3500, 0, 14_285]);
    bus.write(AT, &[0x10, 0x40, 0x42]).unwrap();
    bus.elapse(SECOND / 100);
    assert_eq!(axes(read(&mut bus, AT, 0x28)), [i16::MIN, 8196, 0]);
    assert_eq!(axes(read(&mut bus, AT, 0x22)), [i16::MIN, 0, i16::MAX]);
    // Without increment; then reset.
    bus.write(AT, &[0x12, 0x00]).unwrap();
    assert_eq!(read(&mut bus, AT, 0x0F), [0x6A, 0x6A]);
    bus.write(AT, &[0x12, 0x01]).unwrap();
    assert_eq!(read(&mut bus, AT, 0x0F), [0x6A, 0, 0, 0x04]);
}

#[test]
fn the_magnetic_field_continuously_or_once() {
    const AT: u8 = Lis2mdl::ADDRESS;
    let sensor = shared(Lis2mdl::new());
    let mut bus = Bus::new();
    bus.attach(AT, sensor.clone());
    assert_eq!((read(&mut bus, AT, 0x4F), read(&mut bus, AT, 0x60)), ([0x40], [0x03]));
    bus.elapse(SECOND);
    assert_eq!(read(&mut bus, AT, 0x67), [0], "idle");
    bus.write(AT, &[0x60, 0x01]).unwrap();
    bus.elapse(SECOND / 50);
    assert_eq!((read(&mut bus, AT, 0x67), read(&mut bus, AT, 0x60)), ([0x0F], [0x03]), "idle again");
    assert_eq!(axes(read(&mut bus, AT, 0x68)), [120, 0, 300]);
    assert_eq!(read(&mut bus, AT, 0x67), [0]);
    bus.elapse(SECOND);
    assert_eq!(read(&mut bus, AT, 0x67), [0]);
    bus.write(AT, &[0x60, 0x0C]).unwrap();
    sensor.lock().unwrap().set([-1500, 30, i32::MAX]);
    bus.elapse(SECOND / 100);
    assert_eq!(axes(read(&mut bus, AT, 0x68)), [-1000, 20, i16::MAX]);
    bus.write(AT, &[0x60, 0x20]).unwrap();
    assert_eq!(read(&mut bus, AT, 0x60), [0x03]);
}
