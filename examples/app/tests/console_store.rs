//! From the keyboard to the chip: the console, the vault, and a virtual secure element.

use devkit_app::console::{Answer, Console, Request, SettingStore, Shown};
use stsafe_a100::asynch::Stsafe;
use stsafe_a100::mac::HostKeys;
use stsafe_a100::sim::{Fault, Outage, Profile, VirtualBus, VirtualChip, VirtualDelay};
use stsafe_a100::vault::Setting as Kept;

const UDS: &str = "19e25a259d0c2be03a02d416c05c48ccd0cc7d1743458aae1cb488b074993eae";

/// Nothing ever waits for anything but the virtual chip, which answers at once.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(work).poll(&mut context) {
        std::task::Poll::Ready(done) => done,
        std::task::Poll::Pending => panic!("something waits"),
    }
}

/// A device in configuration mode, its host keys in "flash".
struct Device {
    chip: VirtualChip,
    flash: Option<HostKeys>,
    can_keep: bool,
}

impl Device {
    fn new() -> Self {
        Self { chip: VirtualChip::new(Profile::az3166(), [3; 32]), flash: None, can_keep: true }
    }

    fn driver(&self) -> Stsafe<VirtualBus, VirtualDelay> {
        Stsafe::new(self.chip.bus(), self.chip.delay())
    }

    /// Starts, takes `keys` from the terminal and gives what it shows.
    fn session(&mut self, keys: &str) -> String {
        let mut store = block_on(SettingStore::open_for_setup(self.driver(), self.flash.clone())).unwrap();
        let mut console = Console::new();
        let mut terminal = Vec::new();
        for byte in keys.bytes() {
            let Some(request) = console.push(byte, &mut terminal).unwrap() else { continue };
            let mut shown = Shown::new();
            let keep = |keys: &HostKeys| {
                if self.can_keep {
                    self.flash = Some(keys.clone());
                }
                self.can_keep
            };
            let is_reboot = request == Request::Reboot;
            let answer = block_on(store.carry_out(request, &mut shown, keep));
            assert_eq!(is_reboot, answer.is_none());
            console.answer(answer.unwrap_or(Answer::Done), &mut terminal).unwrap();
        }
        String::from_utf8(terminal).unwrap()
    }

    /// What a start without the console finds.
    fn uds(&self) -> Option<String> {
        let mut store = block_on(SettingStore::open(self.driver(), self.flash.clone())).unwrap();
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
    let mut device = Device::new();
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
    let mut device = Device::new();
    device.session("set_az_iothub HostName=h.net;SharedAccessKey=c2VjcmV0\r");
    let text = device.session("set_az_iotdps DPSEndpoint=d.net;IdScope=0ne1;SymmetricKey=c2VjcmV0\rshow\r");
    assert!(text.contains("Connection string: DPSEndpoint=d.net;IdScope=0ne1;SymmetricKey=***"));
    assert!(!device.holds(b"h.net"));
}

#[test]
fn the_uds_is_made_in_the_chip_and_not_lost_by_a_slip() {
    let mut device = Device::new();
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
        let mut device = Device::new();
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
        let keys = device.flash.take();
        let text = device.session(&format!("show\rset_dps_uds {UDS}\renable_secure 3\r"));
        assert_eq!(text.matches("ERROR: Failed").count(), 2, "{text}");
        assert!(text.contains("Enable secure channel failed: the secure chip is paired with other keys"));
        device.flash = keys;
        assert_eq!(device.uds().as_deref(), Some(UDS));
    }
}

#[test]
fn a_key_that_cannot_be_kept_is_not_given_to_the_chip() {
    let mut device = Device::new();
    device.can_keep = false;
    let text = device.session("enable_secure 3\r");
    assert!(text.contains("Enable secure channel failed: the device cannot keep the key."));
    assert_eq!(device.chip.host_counter(), None);
}

/// The power fails anywhere in `enable_secure`: after at most one repetition the channel is there, and the secret is.
#[test]
fn an_interrupted_pairing_can_be_repeated() {
    let mut prepared = Device::new();
    prepared.session(&format!("set_dps_uds {UDS}\r"));
    let steps = {
        let mut device = Device { chip: prepared.chip.fork(), flash: None, can_keep: true };
        device.session("enable_secure 3\r");
        device.chip.steps()
    };
    for step in (0..steps).step_by(7) {
        let mut device = Device { chip: prepared.chip.fork(), flash: None, can_keep: true };
        device.chip.outage_after(step, Outage::PowerCut);
        let opened = block_on(SettingStore::open_for_setup(device.driver(), None));
        if let Ok(mut store) = opened {
            let mut shown = Shown::new();
            let request = Request::EnableSecure(devkit_app::console::SecureLevel::Random);
            let keep = |keys: &HostKeys| {
                device.flash = Some(keys.clone());
                true
            };
            let _ = block_on(store.carry_out(request, &mut shown, keep));
        }
        device.chip.clear_faults();
        device.chip.power_on();
        let text = device.session("enable_secure 3\rshow\r");
        assert!(text.contains("Secure channel: enabled"), "step {step}: {text}");
        assert_eq!(device.uds().as_deref(), Some(UDS), "step {step}");
    }
}

#[test]
fn failures_are_told_in_words() {
    let mut device = Device::new();
    device.session(&format!("set_dps_uds {UDS}\r"));
    let mut store = block_on(SettingStore::open(device.driver(), None)).unwrap();
    device.chip.inject(Fault::StuckBusy);
    let mut shown = Shown::new();
    let answer = block_on(store.carry_out(Request::Show, &mut shown, |_| false));
    assert!(matches!(answer, Some(Answer::Failed("the secure chip does not answer"))));
    device.chip.reset();
    assert!(block_on(store.get(Kept::Uds, &mut [0; 32])).unwrap().is_some());
    assert!(block_on(store.release().echo(b"there")).is_ok());
}

#[test]
fn a_device_with_keys_does_not_take_an_unpaired_chip() {
    let device = Device { flash: Some(HostKeys::new([1; 16], [2; 16])), ..Device::new() };
    assert!(block_on(SettingStore::open(device.driver(), device.flash.clone())).is_err());
    assert!(block_on(SettingStore::open_for_setup(device.driver(), device.flash.clone())).is_ok());
}

/// Everything a device in this state has stored; `None` where a setting cannot be read.
fn stored(device: &Device) -> Vec<Option<Vec<u8>>> {
    let mut store = block_on(SettingStore::open(device.driver(), device.flash.clone())).unwrap();
    Kept::ALL
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
    let mut prepared = Device::new();
    prepared.session(&format!(
        "{SETUP}set_az_iothub HostName=h.net;SharedAccessKey=c2VjcmV0\rset_dps_uds {UDS}\r"
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
    ];
    for command in commands {
        let keys = format!("{command}\r");
        let fork = || Device { chip: prepared.chip.fork(), flash: None, can_keep: true };
        let mut whole = fork();
        let untouched = whole.chip.steps();
        whole.session(&keys);
        let after = stored(&whole);
        let changed: Vec<_> = (0..before.len()).filter(|index| before[*index] != after[*index]).collect();
        assert_eq!(changed.len(), 1, "{command}");
        let mut results = [0; 2];
        // A step is one byte on the bus or in memory; a stride that shares no factor with anything sees them all alike.
        for step in (0..whole.chip.steps() - untouched).step_by(13) {
            let mut device = fork();
            device.chip.outage_after(step, Outage::PowerCut);
            if let Ok(mut store) = block_on(SettingStore::open_for_setup(device.driver(), None)) {
                let mut console = Console::new();
                let mut terminal = Vec::new();
                for key in keys.bytes() {
                    if let Some(request) = console.push(key, &mut terminal).unwrap() {
                        let mut shown = Shown::new();
                        block_on(store.carry_out(request, &mut shown, |_| false));
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
                    assert!(is_old || is_new, "{command}, step {step}: {:?}", Kept::ALL[index]);
                    results[usize::from(!is_old)] += 1;
                } else {
                    assert!(is_old, "{command}, step {step}: {:?}", Kept::ALL[index]);
                }
            }
            device.session(&keys);
            let again = stored(&device);
            assert!(again == after || command.starts_with("gen_uds"), "{command}, step {step}");
        }
        assert!(results[0] > 0 && results[1] > 0, "{command}: both happen: {results:?}");
    }
}
