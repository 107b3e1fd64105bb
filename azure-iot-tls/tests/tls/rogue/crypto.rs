//! Just enough of TLS's cryptography for the rogue server: AES-128-GCM and SHA-256, ECDHE with X25519 or P-256.

use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use ring::{aead, hmac};

pub(super) const GROUP_P256: u16 = 0x17;
pub(super) const GROUP_X25519: u16 = 0x1d;

pub(super) fn hash(message: &[u8]) -> Vec<u8> {
    digest(&SHA256, message).as_ref().to_vec()
}

pub(super) fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

/// HKDF-Expand-Label of one block (RFC 8446 §7.1).
pub(super) fn expand(secret: &[u8], label: &str, context: &[u8], length: u8) -> Vec<u8> {
    let label = format!("tls13 {label}");
    let mut info = vec![0, length, u8::try_from(label.len()).unwrap()];
    info.extend(label.as_bytes());
    info.push(u8::try_from(context.len()).unwrap());
    info.extend(context);
    info.push(1);
    let mut block = mac(secret, &info);
    block.truncate(length.into());
    block
}

/// The pseudorandom function of TLS 1.2 (RFC 5246 §5).
pub(super) fn prf(secret: &[u8], label: &str, seed: &[u8], length: usize) -> Vec<u8> {
    let seed = [label.as_bytes(), seed].concat();
    let (mut a, mut out) = (seed.clone(), Vec::new());
    while out.len() < length {
        a = mac(secret, &a);
        out.extend(mac(secret, &[a.as_slice(), &seed].concat()));
    }
    out.truncate(length);
    out
}

/// A key exchange: the server's share and the shared secret.
pub(super) fn agree(group: u16, client: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let algorithm = if group == GROUP_X25519 { &X25519 } else { &ECDH_P256 };
    let key = EphemeralPrivateKey::generate(algorithm, &SystemRandom::new()).unwrap();
    let share = key.compute_public_key().unwrap().as_ref().to_vec();
    (share, agree_ephemeral(key, &UnparsedPublicKey::new(algorithm, client), <[u8]>::to_vec).unwrap())
}

/// A share without an exchange yet.
pub(super) struct Exchange(EphemeralPrivateKey);

impl Exchange {
    pub(super) fn p256() -> Self {
        Self(EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new()).unwrap())
    }

    pub(super) fn share(&self) -> Vec<u8> {
        self.0.compute_public_key().unwrap().as_ref().to_vec()
    }

    pub(super) fn agree(self, client: &[u8]) -> Vec<u8> {
        agree_ephemeral(self.0, &UnparsedPublicKey::new(&ECDH_P256, client), <[u8]>::to_vec).unwrap()
    }
}

/// ECDSA P-256 with SHA-256, by a PKCS #8 key.
pub(super) fn sign(key: &[u8], message: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key, &random).unwrap();
    key.sign(&random, message).unwrap().as_ref().to_vec()
}

/// One direction's record protection.
pub(super) struct Keys {
    key: aead::LessSafeKey,
    iv: Vec<u8>,
    sequence: u64,
}

impl Keys {
    pub(super) fn new(key: &[u8], iv: &[u8]) -> Self {
        let key = aead::UnboundKey::new(&aead::AES_128_GCM, key).unwrap();
        Self { key: aead::LessSafeKey::new(key), iv: iv.to_vec(), sequence: 0 }
    }

    /// The keys of a TLS 1.3 traffic secret.
    pub(super) fn of(secret: &[u8]) -> Self {
        Self::new(&expand(secret, "key", b"", 16), &expand(secret, "iv", b"", 12))
    }

    fn nonce13(&mut self) -> aead::Nonce {
        let mut nonce = self.iv.clone();
        nonce.iter_mut().skip(4).zip(self.sequence.to_be_bytes()).for_each(|(byte, mask)| *byte ^= mask);
        self.sequence += 1;
        aead::Nonce::try_assume_unique_for_key(&nonce).unwrap()
    }

    /// The record for an inner plaintext of TLS 1.3, content type and padding included.
    pub(super) fn seal13(&mut self, inner: &[u8]) -> Vec<u8> {
        let mut record = vec![23, 3, 3];
        record.extend(u16::try_from(inner.len() + 16).unwrap().to_be_bytes());
        let mut content = inner.to_vec();
        let nonce = self.nonce13();
        self.key.seal_in_place_append_tag(nonce, aead::Aad::from(&record), &mut content).unwrap();
        record.extend(content);
        record
    }

    /// The inner plaintext of a TLS 1.3 record, without padding.
    pub(super) fn open13(&mut self, record: &[u8]) -> Option<Vec<u8>> {
        let (header, content) = record.split_at(5);
        let mut content = content.to_vec();
        let nonce = self.nonce13();
        let plain = self.key.open_in_place(nonce, aead::Aad::from(header), &mut content).ok()?;
        let length = plain.iter().rposition(|byte| *byte != 0)? + 1;
        Some(plain[..length].to_vec())
    }

    fn nonce12(&self, explicit: &[u8]) -> aead::Nonce {
        aead::Nonce::try_assume_unique_for_key(&[self.iv.as_slice(), explicit].concat()).unwrap()
    }

    fn aad12(&mut self, kind: u8, length: usize) -> Vec<u8> {
        let mut aad = self.sequence.to_be_bytes().to_vec();
        aad.extend([kind, 3, 3]);
        aad.extend(u16::try_from(length).unwrap().to_be_bytes());
        self.sequence += 1;
        aad
    }

    /// The record for content in TLS 1.2.
    pub(super) fn seal12(&mut self, kind: u8, plain: &[u8]) -> Vec<u8> {
        let explicit = self.sequence.to_be_bytes();
        let aad = self.aad12(kind, plain.len());
        let mut content = plain.to_vec();
        self.key
            .seal_in_place_append_tag(self.nonce12(&explicit), aead::Aad::from(aad), &mut content)
            .unwrap();
        let mut record = vec![kind, 3, 3];
        record.extend(u16::try_from(8 + content.len()).unwrap().to_be_bytes());
        record.extend(explicit);
        record.extend(content);
        record
    }

    /// The content of a TLS 1.2 record.
    pub(super) fn open12(&mut self, record: &[u8]) -> Option<Vec<u8>> {
        let (explicit, content) = record.get(5..)?.split_at_checked(8)?;
        let mut content = content.to_vec();
        let aad = self.aad12(*record.first()?, content.len().checked_sub(16)?);
        let plain =
            self.key.open_in_place(self.nonce12(explicit), aead::Aad::from(aad), &mut content).ok()?;
        Some(plain.to_vec())
    }
}
