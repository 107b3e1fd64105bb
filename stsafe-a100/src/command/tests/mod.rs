//! Every command returns from the wire as it went; shapes that are no command do not parse.

use super::{Attribute, Code, Command, EnvelopeKeyKind, KeyMode, LifeCycle, Query, WakeUp};
use crate::codec::Writer;
use crate::command::{I2cParameters, LowPower};
use crate::curve::{Curve, Point, Rs};
use crate::error::{InputError, ProtocolError};
use crate::zone::{Access, AccessCondition, ZoneOptions};

const A: [u8; 48] = [0xA5; 48];
const B: [u8; 48] = [0x5A; 48];

fn all() -> std::vec::Vec<Command<'static>> {
    let point = Point { x: &A[..32], y: &B[..32] };
    let rs = Rs { r: &B, s: &A };
    let change = ZoneOptions::change(Access { condition: AccessCondition::Host, changeable: true });
    std::vec![
        Command::Echo(&A),
        Command::Reset,
        Command::GenerateRandom { len: 255 },
        Command::GenerateChallenge,
        Command::StartSignatureSession { slot: 1 },
        Command::Decrement { options: ZoneOptions::NONE, zone: 5, offset: 2, amount: 669, data: &A[..5] },
        Command::Read { options: change, zone: 3, offset: 0x0102, len: 497 },
        Command::Update { options: ZoneOptions::ATOMIC, zone: 2, offset: 64, data: &A },
        Command::DeletePassword,
        Command::Hibernate(WakeUp::I2cOrReset),
        Command::Hibernate(WakeUp::ResetOnly),
        Command::WrapLocalEnvelope { slot: 0, data: &A },
        Command::UnwrapLocalEnvelope { slot: 1, envelope: &A[..24] },
        Command::PutAttribute(Attribute::HostKeys { mac: &[1; 16], cipher: &[2; 16] }),
        Command::PutAttribute(Attribute::LifeCycle(LifeCycle::from_byte(0x83))),
        Command::PutAttribute(Attribute::I2cParameters(I2cParameters {
            address: 0x31,
            low_power: LowPower::Standby,
            locked: true,
            idle: 0,
        })),
        Command::PutAttribute(Attribute::PublicKey { curve: Curve::BrainpoolP256r1, key: point }),
        Command::PutAttribute(Attribute::Other { tag: 9, value: &A }),
        Command::GenerateKeyPair {
            slot: 0,
            use_limit: 0xFFFF,
            mode: KeyMode::SIGN_DIGEST | KeyMode::CHANGEABLE,
            curve: Curve::NistP384,
        },
        Command::GenerateEnvelopeKey { slot: 1, kind: EnvelopeKeyKind::Aes256, seed: &[] },
        Command::Query(Query::ProductData),
        Command::GetSignature { challenge: &A[..16] },
        Command::GenerateSignature { slot: 0, digest: &A[..32] },
        Command::VerifySignature {
            curve: Curve::NistP384,
            key: Point { x: &A, y: &B },
            signature: rs,
            digest: &A
        },
        Command::VerifyEntitySignature(rs),
        Command::EstablishKey { slot: 0, peer: point },
        Command::VerifyPassword(&[3; 16]),
    ]
}

#[test]
fn every_command_returns() {
    let mut seen = std::collections::HashSet::new();
    for command in all() {
        let mut buf = [0; 504];
        let mut w = Writer::new(&mut buf);
        command.emit(&mut w).unwrap();
        assert_eq!(Command::parse(command.code().bits(), w.finish()), Ok(command));
        seen.insert(command.code());
    }
    assert_eq!(seen.len(), Code::ALL.len(), "no code untested");
}

#[test]
fn truncated_fields_never_return_the_same_command() {
    for command in all() {
        let mut buf = [0; 504];
        let mut w = Writer::new(&mut buf);
        command.emit(&mut w).unwrap();
        let data = w.finish();
        for len in 0..data.len() {
            assert_ne!(Command::parse(command.code().bits(), &data[..len]), Ok(command));
        }
    }
}

#[test]
fn codes_of_other_chips_are_unknown() {
    for bits in 0..32 {
        match Code::from_bits(bits) {
            Some(code) => assert_eq!(code.bits(), bits),
            None => assert_eq!(Command::parse(bits, &[]), Err(ProtocolError::UnknownCommand(bits))),
        }
    }
}

#[test]
fn what_must_not_be_sent_is_refused() {
    let refused = |command: Command<'_>| command.emit(&mut Writer::new(&mut [0; 507])).unwrap_err();
    assert_eq!(refused(Command::GenerateSignature { slot: 0, digest: &[0; 32] }), InputError::ZeroDigest);
    let (key, signature) = (Point { x: &A[..32], y: &A[..32] }, Rs { r: &A[..32], s: &A[..32] });
    let curve = Curve::NistP256;
    assert_eq!(
        refused(Command::VerifySignature { curve, key, signature, digest: &[0; 32] }),
        InputError::ZeroDigest
    );
    assert_eq!(
        refused(Command::VerifySignature { curve, key, signature, digest: &A }),
        InputError::CurveMismatch
    );
    assert_eq!(refused(Command::GenerateRandom { len: 0 }), InputError::Length { actual: 0 });
    assert_eq!(refused(Command::Echo(&[0; 505])), InputError::TooLong { max: 504 });
    let update = Command::Update { options: ZoneOptions::ATOMIC, zone: 0, offset: 0, data: &[0; 65] };
    assert_eq!(refused(update), InputError::TooLong { max: 64 });
    let read = Command::Read { options: ZoneOptions::ATOMIC, zone: 0, offset: 0, len: 1 };
    assert_eq!(refused(read), InputError::Value);
    for len in [0, 8, 15, 17, 488] {
        let wrap = Command::WrapLocalEnvelope { slot: 0, data: &[0; 488][..len] };
        assert_eq!(refused(wrap), InputError::Length { actual: u16::try_from(len).unwrap() });
    }
    for len in [0, 16, 23, 496] {
        let unwrap = Command::UnwrapLocalEnvelope { slot: 0, envelope: &[0; 496][..len] };
        assert_eq!(refused(unwrap), InputError::Length { actual: u16::try_from(len).unwrap() });
    }
    let disguised = Command::PutAttribute(Attribute::Other { tag: 0x17, value: &[0; 32] });
    assert_eq!(refused(disguised), InputError::Value);
}
