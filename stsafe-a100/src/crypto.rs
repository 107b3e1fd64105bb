//! The AES-128 operations of the host session: in software, or plugged in from a hardware engine.

use aes::Aes128;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use cmac::{Cmac, Mac as _};
use zeroize::Zeroize;

/// An AES-128 key.
pub type Key = [u8; 16];
/// An AES block.
pub type Block = [u8; 16];

/// What the host session needs of AES-128. Implement it to use a hardware engine; [`SoftCrypto`] is the default.
///
/// The CMAC is computed in pieces, so that command and response need not be in memory together.
pub trait HostCrypto {
    /// An AES-CMAC (RFC 4493) in progress.
    type Cmac;

    /// Starts a CMAC under `key`.
    fn cmac_start(&mut self, key: &Key) -> Self::Cmac;
    /// Appends `data` to a CMAC.
    fn cmac_update(&mut self, mac: &mut Self::Cmac, data: &[u8]);
    /// Finishes a CMAC.
    fn cmac_finish(&mut self, mac: Self::Cmac) -> Block;
    /// Encrypts whole blocks in place in CBC mode.
    fn cbc_encrypt(&mut self, key: &Key, iv: &Block, blocks: &mut [Block]);
    /// Decrypts whole blocks in place in CBC mode.
    fn cbc_decrypt(&mut self, key: &Key, iv: &Block, blocks: &mut [Block]);
}

/// AES in software, constant time, from the crates `aes` and `cmac`.
#[derive(Clone, Copy, Debug, Default)]
pub struct SoftCrypto;

/// A CMAC in progress in software.
pub struct SoftCmac(Cmac<Aes128>);

impl core::fmt::Debug for SoftCmac {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SoftCmac(..)")
    }
}

impl HostCrypto for SoftCrypto {
    type Cmac = SoftCmac;

    fn cmac_start(&mut self, key: &Key) -> SoftCmac {
        SoftCmac(Cmac::new(key.into()))
    }

    fn cmac_update(&mut self, mac: &mut SoftCmac, data: &[u8]) {
        mac.0.update(data);
    }

    fn cmac_finish(&mut self, mac: SoftCmac) -> Block {
        mac.0.finalize().into_bytes().into()
    }

    fn cbc_encrypt(&mut self, key: &Key, iv: &Block, blocks: &mut [Block]) {
        let aes = Aes128::new(key.into());
        let mut chain = *iv;
        for block in blocks {
            xor(block, &chain);
            aes.encrypt_block(block.into());
            chain = *block;
        }
    }

    fn cbc_decrypt(&mut self, key: &Key, iv: &Block, blocks: &mut [Block]) {
        let aes = Aes128::new(key.into());
        let mut chain = *iv;
        for block in blocks {
            let cipher = *block;
            aes.decrypt_block(block.into());
            xor(block, &chain);
            chain = cipher;
        }
        chain.zeroize();
    }
}

fn xor(block: &mut Block, with: &Block) {
    for (byte, with) in block.iter_mut().zip(with) {
        *byte ^= with;
    }
}

#[cfg(test)]
mod tests {
    use super::{HostCrypto, SoftCrypto};

    // NIST SP 800-38A F.2.1 and RFC 4493 section 4 share this key and message.
    const KEY: &str = "2b7e151628aed2a6abf7158809cf4f3c";
    const PLAIN: &str = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51";

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        let mut out = [0; N];
        hex::decode_to_slice(hex, &mut out).unwrap();
        out
    }

    #[test]
    fn cbc_of_sp800_38a() {
        let iv = core::array::from_fn(|i| u8::try_from(i).unwrap());
        let plain = bytes::<32>(PLAIN);
        let mut text = plain;
        let blocks = text.as_chunks_mut().0;
        SoftCrypto.cbc_encrypt(&bytes(KEY), &iv, blocks);
        assert_eq!(
            blocks.as_flattened(),
            bytes::<32>("7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2")
        );
        SoftCrypto.cbc_decrypt(&bytes(KEY), &iv, blocks);
        assert_eq!(text, plain);
    }

    #[test]
    fn cmac_of_rfc4493_in_pieces() {
        let message =
            bytes::<40>("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411");
        for cut in 0..message.len() {
            let (head, tail) = message.split_at(cut);
            let mut mac = SoftCrypto.cmac_start(&bytes(KEY));
            SoftCrypto.cmac_update(&mut mac, head);
            SoftCrypto.cmac_update(&mut mac, tail);
            assert_eq!(SoftCrypto.cmac_finish(mac), bytes("dfa66747de9ae63030ca32611497c827"));
        }
    }
}
