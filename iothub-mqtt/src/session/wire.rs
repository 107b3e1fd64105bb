//! What is under the engine: the translator to MQTT 3.1.1, or MQTT 5 as it is.

#[cfg(feature = "mqtt5-hub")]
use crate::mqtt5::V5;
use crate::translate::{StreamError, V311};
use embedded_io_async::{ErrorType, Read, Write};

/// Which version of MQTT goes over the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Protocol {
    /// 3.1.1: the provisioning service and classic hubs.
    #[default]
    V311,
    /// 5: the hubs of the new generation.
    #[cfg(feature = "mqtt5-hub")]
    V5,
}

impl From<crate::Generation> for Protocol {
    fn from(generation: crate::Generation) -> Self {
        #[cfg(feature = "mqtt5-hub")]
        if generation.is_mqtt5() {
            return Self::V5;
        }
        let _ = generation;
        Self::V311
    }
}

/// A stream under the engine, of either protocol.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // each holds a stage
pub enum Wire<'c, S, const N: usize> {
    /// MQTT 3.1.1.
    V311(V311<'c, S, N>),
    /// MQTT 5.
    #[cfg(feature = "mqtt5-hub")]
    V5(V5<'c, S, N>),
}

impl<S: ErrorType, const N: usize> ErrorType for Wire<'_, S, N> {
    type Error = StreamError<S::Error>;
}

impl<S: Read + Write, const N: usize> Read for Wire<'_, S, N> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
        match self {
            Self::V311(stream) => stream.read(buf).await,
            #[cfg(feature = "mqtt5-hub")]
            Self::V5(stream) => stream.read(buf).await,
        }
    }
}

impl<S: Read + Write, const N: usize> Write for Wire<'_, S, N> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
        match self {
            Self::V311(stream) => stream.write(buf).await,
            #[cfg(feature = "mqtt5-hub")]
            Self::V5(stream) => stream.write(buf).await,
        }
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        match self {
            Self::V311(stream) => stream.flush().await,
            #[cfg(feature = "mqtt5-hub")]
            Self::V5(stream) => stream.flush().await,
        }
    }
}
