//! Joining, leaving, scanning and moving frames over the virtual card, when nothing goes wrong with frames.

mod common;

use bcm43362::{ControlError, Key, Loss, NetworkSecurity, PowerSave, Security, Ssid, Status};
use common::card;
use common::station::{PASSPHRASE, Pin, SSID, Station, network, receive, transmit, until};
use peripherals::{AirNetwork, AirSecurity};

fn ssid(name: &str) -> Ssid {
    Ssid::new(name.as_bytes()).unwrap()
}

fn wpa2(key: &str) -> Security {
    Security::Wpa2(Key::new(key).unwrap())
}

/// A network whose access point has an address that ends so.
fn named(name: &str, last: u8, security: AirSecurity) -> AirNetwork {
    let mut network = AirNetwork::new(name, security);
    network.bssid[5] = last;
    network
}

fn frame(number: u32, len: usize) -> Vec<u8> {
    let mut frame = [0x02, 0xA9, 0x62, 0x31, 0x66, 0x01, 2, 0, 0, 0xA9, 0, 1, 0x08, 0x00].to_vec();
    frame.extend((0..).map(|at: u32| (at.wrapping_mul(31) ^ number).to_le_bytes()[0]).take(len - 14));
    frame
}

#[test]
fn a_network_is_joined_used_and_left() {
    let mut station = Station::new(card());
    let card = station.card.clone();
    let outcome = station.run(async |control, device, air| {
        assert_eq!(control.address(), Some([0x02, 0xA9, 0x62, 0x31, 0x66, 0x01]));
        assert!(control.firmware_version().await.unwrap().as_str().contains("SIMULATED"));
        assert!(matches!(control.signal().await, Err(ControlError::Refused { .. })), "in no network");
        control.join(ssid(SSID), wpa2(PASSPHRASE)).await.unwrap();
        assert_eq!(control.status(), Status::Joined);
        assert_eq!(air.joined(), Some(network().bssid));
        assert_eq!(control.signal().await, Ok(-55));
        control.set_power_save(PowerSave::Off).await.unwrap();
        for (number, len) in (0..).zip([14, 15, 46, 47, 60, 110, 111, 512, 1000, 1513, 1514]) {
            transmit(device, &frame(number, len)).await;
            let sent = until(|| air.take()).await;
            assert_eq!(sent, frame(number, len));
            assert!(air.send(frame(number + 100, len)));
            assert_eq!(receive(device).await, frame(number + 100, len));
        }
        control.leave().await.unwrap();
        assert_eq!((control.status(), air.joined()), (Status::Idle, None));
    });
    outcome.unwrap();
    assert_eq!(card.borrow().violations(), [""; 0]);
}

#[test]
fn each_kind_of_network_is_joined_and_each_failure_has_its_name() {
    // The pin of another card, which never rises: polling serves.
    let mut station = Station::with(card(), Pin(card()));
    let card = station.card.clone();
    let outcome = station.run(async |control, _, air| {
        air.add(named("open", 2, AirSecurity::Open));
        air.add(named("old", 3, AirSecurity::Wpa("an old passphrase".to_owned())));
        air.add(AirNetwork {
            is_hidden: true,
            ..named("hidden", 4, AirSecurity::Wpa2("0123456789".to_owned()))
        });
        let wpa = |key| Security::Wpa(Key::new(key).unwrap());
        for _ in 0..2 {
            for (name, security) in [
                ("open", Security::Open),
                ("old", wpa("an old passphrase")),
                ("hidden", wpa2("0123456789")),
                (SSID, wpa2(PASSPHRASE)),
            ] {
                assert_eq!(control.join(ssid(name), security).await, Ok(()), "{name}");
            }
        }
        // PBKDF2 of passphrase and name, by OpenSSL.
        air.add(named("IEEE", 5, AirSecurity::Wpa2("password".to_owned())));
        let digits = "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e";
        assert_eq!(control.join(ssid("IEEE"), wpa2(digits)).await, Ok(()));
        for (name, security, expected) in [
            ("nowhere", Security::Open, ControlError::NotFound),
            (SSID, Security::Open, ControlError::NotFound),
            ("open", wpa2(PASSPHRASE), ControlError::NotFound),
            (SSID, wpa2("correct horse batterz"), ControlError::WrongPassphrase),
            ("IEEE", wpa2(&digits.replace('f', "0")), ControlError::WrongPassphrase),
        ] {
            assert_eq!(control.join(ssid(name), security).await, Err(expected), "{name}");
            assert_eq!((control.status(), air.joined()), (Status::Idle, None));
        }
        // The stronger one of two with one name; and the right one of two kinds.
        air.add(AirNetwork { rssi: -40, ..named(SSID, 6, AirSecurity::Wpa2(PASSPHRASE.to_owned())) });
        air.add(AirNetwork { rssi: -20, ..named(SSID, 7, AirSecurity::Open) });
        control.join(ssid(SSID), wpa2(PASSPHRASE)).await.unwrap();
        assert_eq!(air.joined().unwrap()[5], 6);
    });
    outcome.unwrap();
    assert_eq!(card.borrow().violations(), [""; 0]);
}

#[test]
fn a_scan_lists_the_networks_in_reach() {
    let mut station = Station::new(card());
    let outcome = station.run(async |control, _, air| {
        let named = |name: &str, last, security| AirNetwork {
            channel: last,
            rssi: -50 - i16::from(last),
            ..named(name, last, security)
        };
        air.add(named("open", 2, AirSecurity::Open));
        air.add(named("old", 3, AirSecurity::Wpa("an old passphrase".to_owned())));
        air.add(AirNetwork { is_hidden: true, ..named("hidden", 4, AirSecurity::Open) });
        air.add(named("both", 5, AirSecurity::Mixed("for old and new".to_owned())));
        let mut found = Vec::new();
        control.scan(None, |network| found.push(network)).await.unwrap();
        let listed: Vec<_> = found
            .iter()
            .map(|network| (network.ssid.to_string(), network.channel, network.rssi, network.security))
            .collect();
        assert_eq!(
            listed,
            [
                (SSID.to_owned(), 6, -55, NetworkSecurity::Wpa2),
                ("open".to_owned(), 2, -52, NetworkSecurity::Open),
                ("old".to_owned(), 3, -53, NetworkSecurity::Wpa),
                (String::new(), 4, -54, NetworkSecurity::Open),
                ("both".to_owned(), 5, -55, NetworkSecurity::Wpa2Mixed),
            ]
        );
        let mut found = Vec::new();
        control.scan(Some(ssid("hidden")), |network| found.push(network.ssid)).await.unwrap();
        assert_eq!(found, [ssid("hidden")]);
    });
    outcome.unwrap();
    assert_eq!(station.card.borrow().violations(), [""; 0]);
}

/// As the board joins: with a name and perhaps a key, and what a scan finds.
#[test]
fn the_security_is_chosen_from_what_is_in_reach() {
    let mut station = Station::new(card());
    let card = station.card.clone();
    let outcome = station.run(async |control, _, air| {
        let secret = || "an old passphrase".to_owned();
        air.add(named("open", 2, AirSecurity::Open));
        air.add(named("old", 3, AirSecurity::Wpa(secret())));
        air.add(named("mixed", 4, AirSecurity::Mixed(secret())));
        air.add(AirNetwork { is_hidden: true, ..named("hidden", 5, AirSecurity::Wpa(secret())) });
        // An impostor that is louder than the one whose name it has, and one network with two kinds of access points.
        air.add(AirNetwork { rssi: -10, ..named(SSID, 6, AirSecurity::Open) });
        air.add(AirNetwork { rssi: -10, ..named("two", 7, AirSecurity::Wpa(secret())) });
        air.add(named("two", 8, AirSecurity::Wpa2(secret())));
        for (name, key, joined) in [
            ("open", None, 2),
            ("old", Some(&*secret()), 3),
            ("mixed", Some(&*secret()), 4),
            ("hidden", Some(&*secret()), 5),
            (SSID, Some(PASSPHRASE), network().bssid[5]),
            (SSID, None, 6),
            ("two", Some(&*secret()), 8),
        ] {
            let security = control.choose(ssid(name), key.map(|key| Key::new(key).unwrap())).await.unwrap();
            assert_eq!(control.join(ssid(name), security).await, Ok(()), "{name}");
            assert_eq!(air.joined().map(|bssid| bssid[5]), Some(joined), "{name}");
        }
        for (name, key, offered) in [
            ("open", Some(PASSPHRASE), NetworkSecurity::Open),
            ("old", None, NetworkSecurity::Wpa),
            ("mixed", None, NetworkSecurity::Wpa2Mixed),
        ] {
            let chosen = control.choose(ssid(name), key.map(|key| Key::new(key).unwrap())).await;
            let error = chosen.map(drop).unwrap_err();
            assert_eq!(error, ControlError::Unsuitable { offered }, "{name}");
            assert!(!error.is_retriable());
        }
        // What is not found may be there nevertheless; what a join makes of it is another question.
        for (name, key) in [("nowhere", Some(PASSPHRASE)), ("nowhere", None)] {
            let security = control.choose(ssid(name), key.map(|key| Key::new(key).unwrap())).await.unwrap();
            assert!(matches!((&security, key), (Security::Wpa2(_), Some(_)) | (Security::Open, None)));
            assert_eq!(control.join(ssid(name), security).await, Err(ControlError::NotFound));
        }
    });
    outcome.unwrap();
    assert_eq!(card.borrow().violations(), [""; 0]);
}

#[test]
fn a_network_that_is_lost_says_why_and_is_joined_again() {
    let card = card();
    let mut station = Station::with(card.clone(), Pin(card));
    let outcome = station.run(async |control, _, air| {
        for _ in 0..2 {
            control.join(ssid(SSID), wpa2(PASSPHRASE)).await.unwrap();
            assert!(air.deauthenticate(7));
            assert_eq!(control.lost().await, Some(Loss::Deauthenticated { reason: 7 }));
            control.join(ssid(SSID), wpa2(PASSPHRASE)).await.unwrap();
            let gone = air.remove(network().bssid).unwrap();
            assert_eq!(control.lost().await, Some(Loss::BeaconsLost));
            assert_eq!(control.join(ssid(SSID), wpa2(PASSPHRASE)).await, Err(ControlError::NotFound));
            air.add(gone);
        }
    });
    outcome.unwrap();
    assert_eq!(station.card.borrow().violations(), [""; 0]);
}
