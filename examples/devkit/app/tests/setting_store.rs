//! From the keyboard to the chip: the console, the vault, and a virtual secure element.

use devkit_app::host_keys::{HostKeyStore, NoFlash};
use devkit_app::setting_store::{OpenError, SettingStore, Shown};
use devkit_console::{Answer, Console, Request, SecureLevel};
use devkit_settings::Setting;
use peripherals::FlashSector;
use stsafe_a100::asynch::Stsafe;
use stsafe_a100::session::HostKeys;
use stsafe_a100::sim::{Fault, Outage, Profile, VirtualBus, VirtualChip, VirtualDelay};

const UDS: &str = "19e25a259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993eae";

/// Nothing ever waits for anything but the virtual chip, which answers at once.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(work).poll(&mut context) {
        std::task::Poll::Ready(done) => done,
        std::task::Poll::Pending => panic!("something waits"),
    }
}

/// A device: its secure element, and the flash with its host keys.
struct Device {
    chip: VirtualChip,
    flash: FlashSector,
}

impl Device {
    fn new() -> Self {
        Self { chip: VirtualChip::new(Profile::az3166(), [3; 32]), flash: FlashSector::new() }
    }

    /// Another device in the same state.
    fn fork(&self) -> Self {
        let flash = FlashSector::new();
        flash.load(&self.flash.contents()).unwrap();
        Self { chip: self.chip.fork(), flash }
    }

    fn keys(&self) -> HostKeyStore<FlashSector> {
        HostKeyStore::new(self.flash.clone())
    }

    /// The power comes back.
    fn power_on(&self) {
        self.chip.clear_faults();
        self.chip.power_on();
        self.flash.power_on();
    }

    fn driver(&self) -> Stsafe<VirtualBus, VirtualDelay> {
        Stsafe::new(self.chip.bus(), self.chip.delay())
    }

    /// Starts, takes `keys` from the terminal and gives what it shows.
    fn session(&self, keys: &str) -> String {
        let mut host_keys = self.keys();
        let mut store = block_on(SettingStore::open_for_setup(self.driver(), &mut host_keys)).unwrap();
        let mut console = Console::new();
        let mut terminal = Vec::new();
        for byte in keys.bytes() {
            let Some(request) = console.push(byte, &mut terminal).unwrap() else { continue };
            let mut shown = Shown::new();
            let is_reboot = request == Request::Reboot;
            let answer = block_on(store.carry_out(request, &mut shown, &mut host_keys));
            assert_eq!(is_reboot, answer.is_none());
            console.answer(answer.unwrap_or(Answer::Done), &mut terminal).unwrap();
        }
        String::from_utf8(terminal).unwrap()
    }

    /// What a start without the console finds.
    fn uds(&self) -> Option<String> {
        let mut store = block_on(SettingStore::open(self.driver(), &mut self.keys())).unwrap();
        block_on(store.uds()).unwrap().map(|uds| hex::encode(*uds))
    }

    /// Whether these bytes stand in any zone.
    fn holds(&self, bytes: &[u8]) -> bool {
        (0..11)
            .filter_map(|zone| self.chip.zone(zone))
            .any(|zone| zone.windows(bytes.len()).any(|w| w == bytes))
    }
}

const SETUP: &str = "set_wifissid HomeAP\rset_wifipwd correct-horse-9\r\
    set_dps_endpoint localhost:8883\rset_dps_idscope 0ne00000000\rset_registration_id dev-1\r";

const SHOWN: &str = "  Wi-Fi SSID: HomeAP\r\n  Wi-Fi password: (set)\r\n  Connection string: (not set)\r\n  \
    DPS endpoint: localhost:8883\r\n  DPS ID scope: 0ne00000000\r\n  Registration ID: dev-1\r\n  DPS UDS: (set)\r\n";

#[test]
fn what_is_typed_is_kept() {
    let device = Device::new();
    let text = device.session(&format!("{SETUP}set_dps_uds {UDS}\rexit\r"));
    assert_eq!(text.matches(" successfully.").count(), 6);
    assert_eq!(device.uds().as_deref(), Some(UDS));
    let text = device.session("show\r");
    assert!(text.contains(SHOWN), "{text}");
    assert!(text.contains("Secure channel: not enabled"));
    assert!(!text.contains("correct-horse"));

    let text = device.session("set_wifipwd\rshow\r");
    assert!(text.contains("Wi-Fi password: (not set)"));
    assert!(!device.holds(b"correct-horse"));
}

#[test]
fn hub_and_dps_connection_strings_share_their_place() {
    let device = Device::new();
    device.session("set_az_iothub HostName=h.net;SharedAccessKey=c2VjcmV0\r");
    let text = device.session("set_az_iotdps DPSEndpoint=d.net;IdScope=0ne1;SymmetricKey=c2VjcmV0\rshow\r");
    assert!(text.contains("Connection string: DPSEndpoint=d.net;IdScope=0ne1;SymmetricKey=***"));
    assert!(!device.holds(b"h.net"));
}

#[test]
fn the_uds_is_made_in_the_chip_and_not_lost_by_a_slip() {
    let device = Device::new();
    assert!(device.session("gen_uds\r").contains("INFO: Made DPS UDS successfully.\r\n\r\n#"));
    let first = device.uds().unwrap();
    let text = device.session("gen_uds\r");
    assert!(text.contains("ERROR: A UDS is stored already."));
    assert!(!text.contains(&first));
    assert_eq!(device.uds().as_ref(), Some(&first));
    assert!(device.session("gen_uds replace\r").contains("has a new identity"));
    assert_ne!(device.uds().unwrap(), first);
    let current = device.uds().unwrap();
    assert!(!device.session(&format!("set_dps_uds {current}\r")).contains("new identity"), "it is the same");
    assert!(device.session(&format!("set_dps_uds {UDS}\r")).contains("new identity"));
}

#[test]
fn enable_secure_seals_everything() {
    let given = "ab".repeat(16) + &"cd".repeat(16);
    for command in ["enable_secure 1", &format!("enable_secure 2 {given}"), "enable_secure 3"] {
        let device = Device::new();
        // One setting of the original's among ours.
        device.chip.set_zone(10, 0, b"legacy-password\0");
        device.session(&format!("set_wifissid HomeAP\rset_dps_uds {UDS}\r"));
        let text = device.session(&format!("{command}\rshow\r{command}\r"));
        assert!(text.contains("INFO: Enable secure channel successfully."), "{text}");
        assert!(text.contains("Secure channel: enabled"));
        assert!(text.contains("INFO: Secure channel has already been enabled."));
        assert_eq!(device.uds().as_deref(), Some(UDS));
        for secret in [&b"HomeAP"[..], b"legacy-password", &hex::decode(UDS).unwrap(), UDS.as_bytes()] {
            assert!(!device.holds(secret));
        }
        assert!(device.session("show\r").contains("Wi-Fi password: (set)"));

        // Without the keys nothing opens, and nothing is overwritten.
        let keys = device.flash.contents();
        device.flash.erase_all().unwrap();
        let text = device.session(&format!("show\rset_dps_uds {UDS}\renable_secure 3\r"));
        assert_eq!(text.matches("ERROR: Failed").count(), 2, "{text}");
        assert!(text.contains("Enable secure channel failed: the secure chip is paired with other keys"));
        device.flash.load(&keys).unwrap();
        assert_eq!(device.uds().as_deref(), Some(UDS));
    }
}

#[test]
fn a_key_that_cannot_be_kept_is_not_given_to_the_chip() {
    let device = Device::new();
    let request = || Request::EnableSecure(SecureLevel::Random);
    let mut none = HostKeyStore::new(NoFlash);
    let mut store = block_on(SettingStore::open_for_setup(device.driver(), &mut none)).unwrap();
    let mut shown = Shown::new();
    let answer = block_on(store.carry_out(request(), &mut shown, &mut none));
    assert!(matches!(
        answer,
        Some(Answer::Failed("the device has no storage for the key of the secure channel"))
    ));
    // The power goes while they are written.
    let mut keys = device.keys();
    device.flash.cut_after(3, 1);
    let answer = block_on(store.carry_out(request(), &mut shown, &mut keys));
    assert!(matches!(
        answer,
        Some(Answer::Failed("the flash memory with the key of the secure channel cannot be accessed"))
    ));
    device.flash.power_on();
    // Bits that are stuck: the next place is taken.
    device.flash.program(64 + 8, &[0; 4]).unwrap();
    assert!(device.session("enable_secure 3\r").contains("Enable secure channel successfully"));
    assert!(device.chip.host_counter().is_some());
}

/// Carries out `enable_secure` until the power fails.
fn pair(device: &Device) {
    let mut keys = device.keys();
    if let Ok(mut store) = block_on(SettingStore::open_for_setup(device.driver(), &mut keys)) {
        let request = Request::EnableSecure(SecureLevel::Random);
        let _ = block_on(store.carry_out(request, &mut Shown::new(), &mut keys));
    }
}

/// A device with two settings, and what `enable_secure` takes: steps of the chip, and of the flash.
fn to_be_paired() -> (Device, u64, u32) {
    let prepared = Device::new();
    prepared.session(&format!("set_wifissid HomeAP\rset_dps_uds {UDS}\r"));
    let device = prepared.fork();
    let before = device.chip.steps();
    pair(&device);
    let (chip, flash) = (device.chip.steps() - before, device.flash.steps());
    assert_eq!(flash, 12 + 4 + 4, "a record, its note, and the first counter");
    (prepared, chip, flash)
}

/// What has to be so after every power cut: the device starts without anybody's help, it has its secret, and it is
/// paired, or can be.
fn is_whole(device: &Device, place: &str) -> bool {
    assert_eq!(device.uds().as_deref(), Some(UDS), "{place}");
    let paired = device.chip.host_counter().is_some();
    let kept = block_on(device.keys().read()).unwrap();
    assert_eq!(kept.is_some_and(|kept| kept.paired), paired, "{place}: the flash knows of the pairing");
    assert_eq!(device.session("show\r").contains("Secure channel: enabled"), paired, "{place}");
    assert!(!(paired && device.holds(b"HomeAP")), "{place}: everything is sealed");
    let text = device.session("enable_secure 3\rshow\r");
    assert!(text.contains("Secure channel: enabled"), "{place}: {text}");
    assert_eq!(device.uds().as_deref(), Some(UDS), "{place}");
    paired
}

#[test]
fn a_pairing_that_is_cut_off_at_the_chip_is_finished_or_was_none() {
    let (prepared, steps, _) = to_be_paired();
    let mut paired = [0; 2];
    for step in (0..steps).step_by(7) {
        let device = prepared.fork();
        device.chip.outage_after(step, Outage::PowerCut);
        pair(&device);
        device.power_on();
        paired[usize::from(is_whole(&device, &format!("step {step}")))] += 1;
    }
    assert!(paired[0] > 20 && paired[1] > 20, "both happen: {paired:?}");
}

#[test]
fn a_pairing_that_is_cut_off_at_the_flash_is_finished_or_was_none() {
    let (prepared, _, steps) = to_be_paired();
    for noise in 0..32 {
        for step in 0..steps {
            let device = prepared.fork();
            device.flash.cut_after(step, noise);
            pair(&device);
            device.power_on();
            let paired = is_whole(&device, &format!("step {step}, noise {noise}"));
            assert_eq!(paired, step >= 12, "step {step}: no chip gets keys that are not in flash");
        }
    }
}

/// Whatever else the flash held before, and however often the pairing fails.
#[test]
fn an_interrupted_pairing_can_be_repeated_until_the_flash_is_full_and_longer() {
    let (prepared, _, _) = to_be_paired();
    let device = prepared.fork();
    device.flash.load(&b"what another firmware has left here".repeat(20)).unwrap();
    for round in 0..150 {
        device.flash.cut_after(round % 13, round);
        let request = Request::EnableSecure(SecureLevel::Random);
        let mut keys = device.keys();
        let mut store = block_on(SettingStore::open_for_setup(device.driver(), &mut keys)).unwrap();
        // The chip does not get the keys.
        device.chip.inject_after(7, Fault::StuckBusy);
        let _ = block_on(store.carry_out(request, &mut Shown::new(), &mut keys));
        device.chip.reset();
        device.power_on();
        assert_eq!(device.uds().as_deref(), Some(UDS), "round {round}");
    }
    is_whole(&device, "at last");
}

#[test]
fn failures_are_described() {
    let device = Device::new();
    device.session(&format!("set_dps_uds {UDS}\r"));
    let mut store = block_on(SettingStore::open(device.driver(), &mut device.keys())).unwrap();
    device.chip.inject(Fault::StuckBusy);
    let mut shown = Shown::new();
    let answer = block_on(store.carry_out(Request::Show, &mut shown, &mut device.keys()));
    assert!(matches!(answer, Some(Answer::Failed("the secure chip does not answer"))));
    device.chip.reset();
    assert!(block_on(store.get(Setting::Uds, &mut [0; 32])).unwrap().is_some());
    assert!(block_on(store.release().echo(b"there")).is_ok());
}

#[test]
fn a_device_with_keys_does_not_take_an_unpaired_chip() {
    let device = Device::new();
    let mut keys = device.keys();
    block_on(keys.keep(&HostKeys::new([1; 16], [2; 16]))).unwrap();
    // As long as nobody knows that a chip has them, none is missed.
    assert!(block_on(SettingStore::open(device.driver(), &mut keys)).is_ok());
    block_on(keys.confirm()).unwrap();
    // What is typed next would go to whoever answers, in clear.
    for setup in [false, true] {
        let opened = if setup {
            block_on(SettingStore::open_for_setup(device.driver(), &mut keys))
        } else {
            block_on(SettingStore::open(device.driver(), &mut keys))
        };
        assert!(matches!(opened, Err(OpenError::ChipWithoutKeys)));
    }
    // Who stands beside it can give the old chip up.
    block_on(keys.forget()).unwrap();
    device.session(&format!("set_dps_uds {UDS}\renable_secure 3\r"));
    assert_eq!(device.uds().as_deref(), Some(UDS));
}

#[test]
fn the_counter_is_remembered_and_a_chip_with_a_lower_one_is_refused() {
    let device = Device::new();
    device.session(&format!("set_dps_uds {UDS}\renable_secure 3\r"));
    let start = || -> Result<(), OpenError<_>> {
        let mut keys = device.keys();
        let mut store = block_on(SettingStore::open(device.driver(), &mut keys))?;
        block_on(store.uds())?;
        block_on(store.save_counter(&mut keys)).map_err(OpenError::HostKeys)
    };
    start().unwrap();
    let counter = device.chip.host_counter().unwrap();
    let stored = block_on(device.keys().read()).unwrap().unwrap().lowest.unwrap();
    assert_eq!(stored.get(), counter);
    device.chip.set_host_counter(counter - 1);
    assert!(start().unwrap_err().to_string().contains("counter went back"));
    let text = device.session(&format!("set_dps_uds {}\r", UDS.replace('a', "b")));
    assert!(text.contains("counter went back"), "{text}");
    device.chip.set_host_counter(counter);
    start().unwrap();
    // A change is remembered before success is reported.
    device.session("set_wifissid HomeAP\r");
    let stored = block_on(device.keys().read()).unwrap().unwrap().lowest.unwrap();
    assert_eq!(Some(stored.get()), device.chip.host_counter());
}

#[test]
fn a_start_spends_few_of_the_channels_commands_and_show_says_how_many_are_left() {
    let device = Device::new();
    device.session(&format!("{SETUP}set_dps_uds {UDS}\renable_secure 3\r"));
    let before = device.chip.host_counter().unwrap();
    let mut keys = device.keys();
    let mut store = block_on(SettingStore::open(device.driver(), &mut keys)).unwrap();
    let mut settings = devkit_app::Settings::default();
    block_on(settings.read(&mut store)).unwrap();
    block_on(store.uds()).unwrap();
    assert_eq!(device.chip.host_counter().unwrap() - before, 6, "one for each setting that is read");

    let text = device.session("show\r");
    assert!(
        text.contains("Secure channel: enabled, 167") && text.contains(" of 16777215 commands left"),
        "{text}"
    );
    assert!(!text.contains("WARNING"));
    device.chip.set_host_counter(0x00E0_0000);
    assert!(device.session("show\r").contains("WARNING: the secure chip will soon refuse the channel."));

    // The way out, before the end.
    device.chip.set_host_counter(0x00FF_FF00);
    assert!(device.session("disable_secure\r").contains("Usage: disable_secure yes."));
    let text = device.session("disable_secure yes\rshow\r");
    assert!(text.contains("Disable secure channel successfully.") && text.contains("not enabled"), "{text}");
    assert!(text.contains(SHOWN), "{text}");
    device.chip.set_host_counter(0x00FF_FFFF);
    assert_eq!(device.uds().as_deref(), Some(UDS));
    assert!(device.session("set_wifissid Elsewhere\rshow\r").contains("Wi-Fi SSID: Elsewhere"));
    assert!(device.session("enable_secure 3\r").contains("failed"), "the chip has keys already");
}

#[test]
fn an_unsealing_that_is_cut_off_is_finished_at_the_next_start() {
    let prepared = Device::new();
    prepared.session(&format!("set_wifissid HomeAP\rset_dps_uds {UDS}\renable_secure 3\r"));
    let run = |device: &Device| {
        let mut keys = device.keys();
        if let Ok(mut store) = block_on(SettingStore::open_for_setup(device.driver(), &mut keys)) {
            let _ = block_on(store.carry_out(Request::DisableSecure, &mut Shown::new(), &mut keys));
        }
    };
    let whole = prepared.fork();
    let (chip, flash) = (whole.chip.steps(), whole.flash.steps());
    run(&whole);
    let (chip, flash) = (whole.chip.steps() - chip, whole.flash.steps() - flash);
    let mut ended = [0; 2];
    for step in (0..chip).step_by(97).map(Ok).chain((0..flash).map(Err)) {
        let device = prepared.fork();
        match step {
            Ok(step) => device.chip.outage_after(step, Outage::PowerCut),
            Err(step) => device.flash.cut_after(step, 7),
        }
        run(&device);
        device.power_on();
        assert_eq!(device.uds().as_deref(), Some(UDS), "{step:?}");
        let text = device.session("show\r");
        assert!(text.contains("Wi-Fi SSID: HomeAP"), "{step:?}: {text}");
        ended[usize::from(text.contains("not enabled"))] += 1;
    }
    assert!(ended[0] > 0 && ended[1] > 10, "{ended:?}");
}

/// Everything a device in this state has stored; `None` where a setting cannot be read.
fn stored(device: &Device) -> Vec<Option<Vec<u8>>> {
    let mut store = block_on(SettingStore::open(device.driver(), &mut device.keys())).unwrap();
    Setting::ALL
        .iter()
        .map(|setting| {
            let mut value = [0; 512];
            block_on(store.get(*setting, &mut value)).unwrap().map(<[u8]>::to_vec)
        })
        .collect()
}

/// The power fails at any step of any command that stores: the setting has its old value or its new one, all others
/// keep theirs, and the command can be repeated.
#[test]
fn a_power_cut_while_the_console_writes_loses_nothing() {
    let prepared = Device::new();
    prepared.session(&format!(
        "{SETUP}set_az_iothub HostName=h.net;SharedAccessKey=c2VjcmV0\rset_dps_uds {UDS}\rset_identity issued\r"
    ));
    let before = stored(&prepared);
    assert!(before.iter().all(Option::is_some));
    let other = UDS.replace('a', "b");
    let commands = [
        "set_wifissid \"Another network\"",
        "set_wifipwd another-password",
        "set_wifipwd",
        "set_az_iotdps DPSEndpoint=d.net;IdScope=0ne1;SymmetricKey=c2VjcmV0",
        "set_dps_endpoint elsewhere.net",
        "set_dps_idscope 0ne00000001",
        "set_registration_id dev-2",
        &format!("set_dps_uds {other}"),
        "gen_uds replace",
        "set_identity slot",
        "set_identity derived",
    ];
    for command in commands {
        let keys = format!("{command}\r");
        let fork = || prepared.fork();
        let whole = fork();
        let untouched = whole.chip.steps();
        whole.session(&keys);
        let after = stored(&whole);
        let changed: Vec<_> = (0..before.len()).filter(|index| before[*index] != after[*index]).collect();
        // The key, and whose certificate there is for it.
        assert_eq!(changed.len(), if command == "set_identity derived" { 2 } else { 1 }, "{command}");
        let mut results = [0; 2];
        // A step is one byte on the bus or in memory; a stride that shares no factor with anything sees them all alike.
        for step in (0..whole.chip.steps() - untouched).step_by(13) {
            let device = fork();
            device.chip.outage_after(step, Outage::PowerCut);
            if let Ok(mut store) = block_on(SettingStore::open_for_setup(device.driver(), &mut device.keys()))
            {
                let mut console = Console::new();
                let mut terminal = Vec::new();
                for key in keys.bytes() {
                    if let Some(request) = console.push(key, &mut terminal).unwrap() {
                        let mut shown = Shown::new();
                        block_on(store.carry_out(request, &mut shown, &mut device.keys()));
                    }
                }
            }
            device.chip.clear_faults();
            device.chip.power_on();
            let found = stored(&device);
            for index in 0..before.len() {
                let is_old = found[index] == before[index];
                if changed.contains(&index) {
                    let is_new = found[index] == after[index] || (command.starts_with("gen_uds") && !is_old);
                    assert!(is_old || is_new, "{command}, step {step}: {:?}", Setting::ALL[index]);
                    results[usize::from(!is_old)] += 1;
                } else {
                    assert!(is_old, "{command}, step {step}: {:?}", Setting::ALL[index]);
                }
            }
            device.session(&keys);
            let again = stored(&device);
            assert!(again == after || command.starts_with("gen_uds"), "{command}, step {step}");
        }
        assert!(results[0] > 0 && results[1] > 0, "{command}: both happen: {results:?}");
    }
}
