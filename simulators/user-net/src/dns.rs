//! Answers to the board's name queries (RFC 1035): addresses of the fourth generation, nothing else.

use std::net::Ipv4Addr;

use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};

/// The name server's port.
pub(crate) const PORT: u16 = 53;
/// An answer holds for so many seconds.
const TTL: u32 = 60;

/// The name that a query asks for; `None` if it is no query that has an answer here.
pub(crate) fn name(query: &[u8]) -> Option<String> {
    let packet = Packet::parse(query).ok().filter(|packet| !packet.has_flags(PacketFlag::RESPONSE))?;
    Some(packet.questions.first()?.qname.to_string())
}

/// The answer to a query: this address, or that the name does not exist.
pub(crate) fn answer(query: &[u8], address: Option<Ipv4Addr>) -> Option<Vec<u8>> {
    let mut reply = Packet::parse(query).ok()?.into_reply();
    let question = reply.questions.first()?.clone();
    reply.additional_records.clear();
    *reply.opt_mut() = None;
    match address {
        None => *reply.rcode_mut() = RCODE::NameError,
        Some(address) if matches!(question.qtype, QTYPE::TYPE(TYPE::A) | QTYPE::ANY) => {
            let data = RData::A(A::from(address));
            reply.answers.push(ResourceRecord::new(question.qname, CLASS::IN, TTL, data));
        }
        // The name exists, without such a record.
        Some(_) => {}
    }
    reply.build_bytes_vec().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use simple_dns::{Name, QCLASS, Question};

    fn query(kind: TYPE) -> Vec<u8> {
        let mut packet = Packet::new_query(7);
        let name = Name::new_unchecked("a.example");
        packet.questions.push(Question::new(name, kind.into(), QCLASS::CLASS(CLASS::IN), false));
        packet.build_bytes_vec().unwrap()
    }

    #[test]
    fn addresses_are_answered_and_unknown_names_denied() {
        let asked = query(TYPE::A);
        assert_eq!(name(&asked).as_deref(), Some("a.example"));
        let reply = answer(&asked, Some(Ipv4Addr::new(198, 18, 0, 1))).unwrap();
        let reply = Packet::parse(&reply).unwrap();
        assert_eq!((reply.id(), reply.rcode(), reply.answers.len()), (7, RCODE::NoError, 1));
        assert_eq!(reply.answers[0].rdata, RData::A(A::from(Ipv4Addr::new(198, 18, 0, 1))));
        assert!(reply.has_flags(PacketFlag::RESPONSE));
        let none = answer(&asked, None).unwrap();
        assert_eq!(Packet::parse(&none).unwrap().rcode(), RCODE::NameError);
        let other = answer(&query(TYPE::AAAA), Some(Ipv4Addr::LOCALHOST)).unwrap();
        let other = Packet::parse(&other).unwrap();
        assert_eq!((other.rcode(), other.answers.len()), (RCODE::NoError, 0));
    }

    #[test]
    fn what_is_no_query_is_not_answered() {
        let reply = answer(&query(TYPE::A), None).unwrap();
        assert_eq!(name(&reply), None, "a reply");
        for bad in [&[][..], &[1; 11], &[0; 12], &query(TYPE::A)[..20]] {
            assert_eq!(name(bad), None);
            assert_eq!(answer(bad, None), None);
        }
    }
}
