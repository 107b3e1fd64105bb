//! Acknowledgements, SUBSCRIBE, UNSUBSCRIBE and DISCONNECT.

use super::super::ledger::{Ledger, Request};
use super::{DISCONNECT, Fault, Outbound, PUBCOMP, PUBREL, SUBSCRIBE, Step, expect, low_byte, low_u16};

impl<const N: usize> Outbound<'_, N> {
    /// PUBACK, PUBREC, PUBREL, PUBCOMP: 3.1.1 has the packet id only.
    pub(super) fn ack_field(&mut self, value: u32, ledger: &mut Ledger) -> Result<(), Fault> {
        if self.scan.step == Step::AckId {
            expect(value != 0, Fault::PacketId)?;
            self.packet_id = low_u16(value);
            if self.scan.left > 0 {
                return self.scan.number(Step::AckReason, 1);
            }
            return self.ack(0, ledger);
        }
        self.ack(low_byte(value), ledger)
    }

    fn ack(&mut self, reason: u8, ledger: &mut Ledger) -> Result<(), Fault> {
        let kind = self.scan.header >> 4;
        // An acknowledgement the wire does not wait for belongs to an earlier connection: the server is
        // going to send that message again, and the id may by then stand for another one.
        let wanted = kind == PUBREL || ledger.settle(kind, self.packet_id);
        // In 3.1.1 PUBACK and PUBREC always accept, so a refusal is to stay silent.
        let accepts = reason < 0x80 || kind == PUBREL || kind == PUBCOMP;
        if wanted && accepts {
            self.put_packet(self.scan.header, 2, &self.packet_id.to_be_bytes())?;
        }
        self.finish(false)
    }

    /// SUBSCRIBE and UNSUBSCRIBE.
    pub(super) fn request_field(&mut self, value: u32, ledger: &mut Ledger) -> Result<(), Fault> {
        let subscribe = self.scan.header >> 4 == SUBSCRIBE;
        match self.scan.step {
            Step::RequestId => {
                expect(value != 0, Fault::PacketId)?;
                self.packet_id = low_u16(value);
                self.scan.varint(Step::RequestProperties)
            }
            Step::RequestProperties => self.scan.skip(Step::RequestPropertiesText, value),
            Step::RequestPropertiesText => {
                let filters = self.scan.left;
                self.put_packet(self.scan.header, filters + 2, &self.packet_id.to_be_bytes())?;
                self.scan.number(Step::FilterLength, 2)
            }
            Step::FilterLength => {
                expect(value != 0, Fault::EmptyTopic)?;
                self.filters = self.filters.saturating_add(1);
                self.put(&low_u16(value).to_be_bytes())?;
                self.scan.copy(Step::Filter, value)
            }
            Step::Filter if subscribe => self.scan.number(Step::FilterOptions, 1),
            Step::Filter => self.next_filter(ledger),
            _ => {
                let options = low_byte(value);
                expect(options & 3 != 3, Fault::QoS)?;
                expect(options & 4 == 0, Fault::NoLocal)?;
                // Retain options are for bridges: 3.1.1 servers always send retained messages, flagged.
                self.put(&[options & 3])?;
                self.next_filter(ledger)
            }
        }
    }

    fn next_filter(&mut self, ledger: &mut Ledger) -> Result<(), Fault> {
        if self.scan.left > 0 {
            return self.scan.number(Step::FilterLength, 2);
        }
        ledger.open(Request {
            unsubscribe: self.scan.header >> 4 != SUBSCRIBE,
            packet_id: self.packet_id,
            filters: self.filters,
        })?;
        self.finish(false)
    }

    pub(super) fn disconnect(&mut self, reason: u8) -> Result<(), Fault> {
        const WITH_WILL: u8 = 0x04;
        self.disconnected = true;
        if reason != WITH_WILL {
            self.put_packet(DISCONNECT << 4, 0, &[])?;
        }
        self.finish(false)
    }
}
