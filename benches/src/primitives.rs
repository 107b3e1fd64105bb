//! Hashes, MACs and P-256 of `ring` and, with the feature `aws-lc-rs`, of AWS-LC, under one trait.

/// What an identity is made of.
pub trait Primitives {
    /// Name in the reports.
    const NAME: &'static str;
    /// A P-256 key that signs.
    type Key;

    /// SHA-256 of the concatenation of `parts`.
    fn sha256(parts: &[&[u8]]) -> [u8; 32];
    /// SHA-512 of the concatenation of `parts`.
    fn sha512(parts: &[&[u8]]) -> [u8; 64];
    /// HMAC-SHA-256 of the concatenation of `parts`.
    fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32];
    /// HMAC-SHA-512 of the concatenation of `parts`.
    fn hmac_sha512(key: &[u8], parts: &[&[u8]]) -> [u8; 64];
    /// Takes a private scalar, and checks its public key: one multiplication of the base point, as making it is.
    ///
    /// # Panics
    /// If the two do not belong together.
    fn key(scalar: &[u8; 32], public: &[u8; 65]) -> Self::Key;
    /// ECDSA over SHA-256 with a random nonce, in DER.
    ///
    /// # Panics
    /// If there is no randomness.
    fn sign(key: &Self::Key, message: &[u8]) -> Vec<u8>;
}

macro_rules! primitives {
    ($name:ident, $library:ident, $title:literal, $($random:ident)?) => {
        #[doc = concat!("The primitives of ", $title, ".")]
        #[derive(Debug)]
        pub struct $name;

        impl Primitives for $name {
            const NAME: &'static str = $title;
            type Key = $library::signature::EcdsaKeyPair;

            fn sha256(parts: &[&[u8]]) -> [u8; 32] {
                let mut context = $library::digest::Context::new(&$library::digest::SHA256);
                for part in parts {
                    context.update(part);
                }
                array(context.finish().as_ref())
            }

            fn sha512(parts: &[&[u8]]) -> [u8; 64] {
                let mut context = $library::digest::Context::new(&$library::digest::SHA512);
                for part in parts {
                    context.update(part);
                }
                array(context.finish().as_ref())
            }

            fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
                let key = $library::hmac::Key::new($library::hmac::HMAC_SHA256, key);
                let mut context = $library::hmac::Context::with_key(&key);
                for part in parts {
                    context.update(part);
                }
                array(context.sign().as_ref())
            }

            fn hmac_sha512(key: &[u8], parts: &[&[u8]]) -> [u8; 64] {
                let key = $library::hmac::Key::new($library::hmac::HMAC_SHA512, key);
                let mut context = $library::hmac::Context::with_key(&key);
                for part in parts {
                    context.update(part);
                }
                array(context.sign().as_ref())
            }

            fn key(scalar: &[u8; 32], public: &[u8; 65]) -> Self::Key {
                use $library::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
                $(let $random = $library::rand::SystemRandom::new();)?
                EcdsaKeyPair::from_private_key_and_public_key(
                    &ECDSA_P256_SHA256_ASN1_SIGNING,
                    scalar,
                    public,
                    $(&$random,)?
                )
                .expect("the keys belong together")
            }

            fn sign(key: &Self::Key, message: &[u8]) -> Vec<u8> {
                let random = $library::rand::SystemRandom::new();
                key.sign(&random, message).expect("there is randomness").as_ref().to_vec()
            }
        }
    };
}

primitives!(Ring, ring, "ring", random);
#[cfg(feature = "aws-lc-rs")]
primitives!(AwsLc, aws_lc_rs, "aws-lc-rs",);

/// AWS-LC's multiplication of the base point under the keys of `dice-core`: its own overhead is what is left.
#[cfg(feature = "aws-lc-rs")]
impl dice_core::key::P256 for AwsLc {
    fn mul_base(scalar: &dice_core::Secret<32>) -> ([u8; 32], [u8; 32]) {
        use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
        let key = PrivateKey::from_private_key(&ECDH_P256, scalar.expose()).expect("in range");
        let public = key.compute_public_key().expect("in range");
        let (x, y) = public.as_ref()[1..].split_at(32);
        (array(x), array(y))
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the length of the algorithm")
}
