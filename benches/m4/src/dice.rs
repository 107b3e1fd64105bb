//! The identities of `dice-core`: each step, and the whole boot in one frame.
//!
//! One subject a build. The arithmetic is the portable one, or assembly with the feature `p256-cm4`. There is no
//! allocator in the image, so that nothing in it allocates.

use core::hint::black_box;

use dice_core::{Result, Uds};

use crate::measure::step;

fn uds() -> Uds {
    Uds::from_legacy_bytes_unchecked(black_box(*b"a device secret for tests only.."))
}

/// A step that can fail.
fn attempt<T>(name: &str, call: impl FnMut() -> Result<T>) -> Result<T> {
    step(name, call)
}

pub(crate) fn run() {
    #[cfg(feature = "dice-keys")]
    assert!(keys().is_ok());
    #[cfg(feature = "dice-riot")]
    assert!(riot().is_ok());
    #[cfg(feature = "dice-open-dice")]
    assert!(open_dice().is_ok());
    #[cfg(feature = "dice-standard")]
    assert!(standard().is_ok());
    #[cfg(feature = "dice-layers")]
    assert!(layers().is_ok());
}

/// What everything else consists of.
#[cfg(feature = "dice-keys")]
fn keys() -> Result<()> {
    use dice_core::Secret;
    use dice_core::key::SecretKey;

    let message = black_box([0x5A; 500]);
    let key: SecretKey = step("public key", || SecretKey::from_scalar(Secret::new(*uds().expose())))?;
    let signature = step("signature of 500 bytes", || key.sign(&message));
    step("verification", || key.public_key().verify(&message, &signature))?;
    attempt("**two public keys and a signature**", || {
        let _subject: SecretKey = SecretKey::from_scalar(Secret::new(black_box([7; 32])))?;
        let authority: SecretKey = SecretKey::from_scalar(Secret::new(*uds().expose()))?;
        Ok(authority.sign(&message))
    })
    .map(|_| ())
}

#[cfg(feature = "dice-riot")]
fn riot() -> Result<()> {
    use dice_core::RegistrationId;
    use dice_core::riot::{ALIAS_CERTIFICATE_MAX_LEN, Cdi, CoreDigest, Fwid, Identity};

    // The sizes of the original's two ranges.
    let (core, firmware) = (black_box([0x5A; 1580]), black_box([0xA5; 496]));
    let id = RegistrationId::new("az-c89346f8a1b2v2v0v0")?;
    let secret = uds();
    let digest = step("measure the core", || CoreDigest::of(&core))?;
    let fwid = step("measure the firmware", || Fwid::of(&firmware));
    let cdi = step("UDS digest and CDI", || Cdi::derive(&secret, &digest));
    let identity: Identity = step("DeviceID and alias key", || Identity::from_cdi(&cdi, fwid))?;
    let mut out = [0; ALIAS_CERTIFICATE_MAX_LEN];
    step("alias certificate", || identity.alias_certificate(id, &mut out).map(<[u8]>::len))?;
    step("DeviceID certificate", || identity.device_id_certificate(&mut out).map(<[u8]>::len))?;
    attempt("**certified layer**: both keys, alias certificate", || {
        let mut out = [0; ALIAS_CERTIFICATE_MAX_LEN];
        let identity: Identity = Identity::from_cdi(&cdi, fwid)?;
        Ok(identity.alias_certificate(id, &mut out)?.len())
    })?;
    attempt("**whole identity**", || {
        let mut out = [0; ALIAS_CERTIFICATE_MAX_LEN];
        let identity = Identity::derive(&secret, &core, &firmware)?;
        identity.device_id_certificate(&mut out)?;
        identity.alias_certificate(id, &mut out)?;
        black_box(&out);
        Ok(())
    })
}

#[cfg(feature = "dice-open-dice")]
fn open_dice() -> Result<()> {
    use dice_core::open_dice::{Algorithm, Cdis, Config, Format, InputValues, KeyPair, MainFlow, Mode};

    let (code, authority) = (black_box([0x5A; 64]), black_box([0xA5; 64]));
    let inputs = InputValues::new(&code, Config::Descriptor(b"\xa0"), &authority, Mode::Normal);
    let current = Cdis::from_uds(&uds());
    let next = step("CDI_Attest and CDI_Seal", || current.next(&inputs))?;
    step("key pair", || KeyPair::from_cdi(&next.attest, Algorithm::P256).map(|_| ()))?;
    for (name, format) in
        [("**certified layer**, X.509", Format::X509), ("**certified layer**, CBOR", Format::Cbor)]
    {
        attempt(name, || {
            let mut out = [0; 1024];
            MainFlow::new(format, Algorithm::P256).run(&current, &inputs, &mut out).map(|layer| layer.cdis)
        })?;
    }
    Ok(())
}

#[cfg(feature = "dice-standard")]
fn standard() -> Result<()> {
    use dice_core::standard::{
        ALIAS_CERTIFICATE_MAX_LEN, DEVICE_ID_CERTIFICATE_MAX_LEN, FirmwareInfo, Identity, derive_cdis,
        derive_device_id,
    };
    use dice_core::{FirmwareDigest, RegistrationId};

    let image = black_box([0x5A; 1024]);
    let info = FirmwareInfo::new("MXCHIP", "AZ3166", "1.0.0", 1);
    let id = RegistrationId::new("az-c89346f8a1b2v1v0v0")?;
    let secret = uds();
    let firmware = step("measure 1 KiB of firmware", || FirmwareDigest::of(&image))?;
    step("CDI_Attest and CDI_Seal", || derive_cdis(&secret, &firmware, &info).map(|_| ()))?;
    step("DeviceID key", || derive_device_id::<dice_core::key::DefaultBackend>(&secret).map(|_| ()))?;
    let identity: Identity<'_> =
        step("CDIs, DeviceID and alias key", || Identity::derive(&secret, &firmware, &info))?;
    let mut alias = [0; ALIAS_CERTIFICATE_MAX_LEN];
    let alias_len =
        step("alias certificate", || identity.alias_certificate(id, &mut alias).map(<[u8]>::len))?;
    let mut device_id = [0; DEVICE_ID_CERTIFICATE_MAX_LEN];
    let device_id_len =
        step("DeviceID certificate", || identity.device_id_certificate(&mut device_id).map(<[u8]>::len))?;
    attempt("**whole identity**", || {
        let mut alias = [0; ALIAS_CERTIFICATE_MAX_LEN];
        let mut device_id = [0; DEVICE_ID_CERTIFICATE_MAX_LEN];
        let firmware = FirmwareDigest::of(&image)?;
        let identity = Identity::derive(&secret, &firmware, &info)?;
        identity.alias_certificate(id, &mut alias)?;
        identity.device_id_certificate(&mut device_id)?;
        black_box((&alias, &device_id));
        Ok(identity.into_alias_key())
    })?;
    #[cfg(feature = "dice-verify")]
    {
        use dice_core::verify::{Evidence, Policy, TrustAnchor, verify_chain};
        let alias = alias.get(..alias_len).unwrap_or_default();
        let device_id = device_id.get(..device_id_len).unwrap_or_default();
        let policy = Policy { evidence: Evidence::TcbInfo, ..Policy::default() };
        step("**verification** of alias and DeviceID certificate", || {
            verify_chain(TrustAnchor::Certificate(device_id), [alias], policy).map(|_| ())
        })?;
    }
    black_box((alias_len, device_id_len));
    Ok(())
}

/// Three stages: hardware, loader, application.
#[cfg(feature = "dice-layers")]
fn layers() -> Result<()> {
    use dice_core::layer::{ECA_CERTIFICATE_MAX_LEN, Layer, Leaf};
    use dice_core::standard::{ALIAS_CERTIFICATE_MAX_LEN, DEVICE_ID_CERTIFICATE_MAX_LEN, FirmwareInfo};
    use dice_core::x509::Validity;
    use dice_core::{FirmwareDigest, RegistrationId};

    let secret = uds();
    let valid = Validity::NO_EXPIRY;
    let info = FirmwareInfo::new("MXCHIP", "AZ3166", "1.0.0", 1);
    let (loader, application) =
        (FirmwareDigest::of(&black_box([1; 64]))?, FirmwareDigest::of(&black_box([2; 64]))?);
    let id = Leaf::tls_client(RegistrationId::new("az-c89346f8a1b2v1v0v0")?);
    attempt("**whole chain**: root, loader, application", || {
        let mut root = [0; DEVICE_ID_CERTIFICATE_MAX_LEN];
        let mut eca = [0; ECA_CERTIFICATE_MAX_LEN];
        let mut leaf = [0; ALIAS_CERTIFICATE_MAX_LEN];
        let hardware = Layer::from_uds(&secret)?;
        hardware.device_id_certificate(valid, &mut root)?;
        let (layer, _) = hardware.next(&loader, &info, valid, &mut eca)?;
        let (key, _) = layer.leaf(&application, &info, &id, valid, &mut leaf)?;
        black_box((&root, &eca, &leaf));
        Ok(key)
    })
    .map(|_| ())
}
