//! What `renew-certificate` needs of this machine: flash in a file, keys and requests, and connections with a
//! credential from the store.

use std::path::PathBuf;
use std::sync::Arc;

use azure_iot_credentials::certificate::{self, Leaf};
use azure_iot_credentials::key::{Curve, PrivateKey, RequestSigner};
use azure_iot_credentials::store::Credential;
use azure_iot_credentials::{Candidates, CredentialStore, Error, KeyBytes, Validity, request};
use azure_iot_tls::{Identity, IdentityError, Signature};
use iothub_mqtt::runner::{Connector, Target};
use tokio::sync::Mutex;

use crate::flash::FileFlash;
use crate::{Network, Stream};

/// A certificate that was issued for a key made here.
#[derive(Debug)]
pub struct Issued {
    chain: Vec<Vec<u8>>,
    key: PrivateKey,
    /// From when to when it is valid.
    pub validity: Validity,
}

impl Issued {
    /// How keys on P-384 are stored; there are no others here.
    pub const KIND: u8 = 3;

    /// From the store.
    ///
    /// # Errors
    /// It is not one of this program's.
    pub fn new(credential: &Credential<'_>) -> Result<Self, Error> {
        let key = PrivateKey::from_scalar(Curve::P384, credential.key.bytes)?;
        let chain = certificate::split(credential.chain)?.iter().map(|der| der.to_vec()).collect();
        Ok(Self { chain, key, validity: Leaf::parse(credential.chain)?.validity() })
    }

    /// A key as it is stored.
    #[must_use]
    pub fn key_bytes(key: &PrivateKey) -> KeyBytes<'_> {
        KeyBytes { kind: Self::KIND, bytes: key.scalar() }
    }
}

impl Identity for Issued {
    fn certificate(&self, index: usize) -> Option<&[u8]> {
        self.chain.get(index).map(Vec::as_slice)
    }

    fn sign(&self, _: &[u8; 32]) -> Result<Signature, IdentityError> {
        Err(IdentityError::Signer)
    }

    fn is_p384(&self) -> bool {
        true
    }

    fn sign_p384(&self, digest: &[u8; 48]) -> Result<[u8; 96], IdentityError> {
        let signature = self.key.sign(digest).map_err(|_| IdentityError::Signer)?;
        signature.as_bytes().try_into().map_err(|_| IdentityError::Signer)
    }
}

/// A new key, and the certificate signing request for it.
///
/// # Errors
/// An id that is no common name.
pub fn key_and_request(id: &str) -> Result<(PrivateKey, Vec<u8>), Error> {
    let key = PrivateKey::generate(Curve::P384, &mut rand::rng())?;
    let csr = request::write(id, &key, &mut [0; request::MAX_LEN])?.to_vec();
    Ok((key, csr))
}

/// The device's credentials, and which of them is in use.
#[derive(Debug)]
pub struct Credentials {
    /// Those in flash.
    pub store: CredentialStore<FileFlash>,
    /// The same, in the order in which they are tried.
    pub candidates: Candidates,
}

impl Credentials {
    /// Those in this file.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn open(path: PathBuf) -> Result<Self, Error> {
        let mut store = CredentialStore::new(FileFlash::open(&path, 2).map_err(Error::Flash)?)?;
        let candidates = Candidates::new(store.entries().await?);
        Ok(Self { store, candidates })
    }

    /// The one in use.
    ///
    /// # Errors
    /// There is none; those of the store.
    pub async fn current(&mut self) -> Result<Issued, Error> {
        let entry = *self.candidates.current().ok_or(Error::NotFound)?;
        Issued::new(&self.store.load(&entry, &mut [0; 4096]).await?)
    }

    /// Stores a new one, which is used from now on.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn add(&mut self, key: &PrivateKey, chain: &[u8]) -> Result<(), Error> {
        self.store.add(Issued::key_bytes(key), chain).await?;
        self.candidates = Candidates::new(self.store.entries().await?);
        Ok(())
    }
}

/// Connections with the credential in use.
#[derive(Debug)]
pub struct Hub {
    network: Network,
    credentials: Arc<Mutex<Credentials>>,
}

impl Hub {
    /// Over this network, with these credentials.
    #[must_use]
    pub fn new(network: Network, credentials: Arc<Mutex<Credentials>>) -> Self {
        Self { network, credentials }
    }
}

impl Connector for Hub {
    type Stream<'s> = Stream;
    type Error = crate::Error;

    async fn connect(&mut self, target: Target<'_>) -> Result<Stream, Self::Error> {
        let issued = self.credentials.lock().await.current().await;
        self.network.certificate =
            Some(Arc::new(issued.map_err(|_| crate::Error::Io(azure_iot_tls::Error::Memory))?));
        self.network.open(target.host, target.port).await
    }

    fn is_retriable(error: &Self::Error) -> bool {
        Network::is_retriable(error)
    }
}
