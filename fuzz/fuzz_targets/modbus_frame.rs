//! Modbus frames and requests: what is cut off a stream is that stream, and what a request is said to
//! touch lies where its bytes say.
#![no_main]

use gateway::protocol::modbus::frame;
use gateway::protocol::modbus::pdu::{self, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    let mut again = Vec::new();
    while let Ok(Some((found, used))) = frame::first(rest) {
        assert!(used <= frame::MAX_ADU && (1..=frame::MAX_PDU).contains(&found.pdu.len()));
        frame::append(&mut again, found.tid, found.unit, found.pdu);
        // Every cut of a whole frame is an unfinished one.
        assert_eq!(frame::first(&rest[..used - 1]), Ok(None));
        request(found.pdu);
        rest = &rest[used..];
    }
    assert_eq!(again, data[..data.len() - rest.len()]);
    request(data);
});

fn request(pdu: &[u8]) {
    let Ok(request) = Request::parse(pdu) else { return };
    let word = |at: usize| u32::from(u16::from_be_bytes([pdu[at], pdu[at + 1]]));
    match &request {
        Request::Read { span, .. } => {
            assert_eq!((span.start, span.len()), (word(1), word(3) as usize));
        }
        Request::WriteCoils { span } => assert_eq!(span.start, word(1)),
        Request::WriteRegisters { span, data } => {
            assert_eq!((span.start, data.len()), (word(1), 2 * span.len()));
            assert!(pdu.ends_with(data));
        }
        Request::ReadWrite { read, write, data } => {
            assert_eq!((read.start, write.start, data.len()), (word(1), word(5), 2 * write.len()));
        }
        Request::MaskWrite { address } => assert_eq!(*address, word(1)),
        Request::WriteFile(records) => {
            let mut body = Vec::new();
            for r in records.clone() {
                let words = (r.data.len() / 2) as u16;
                body.push(6);
                [r.file, r.record, words].iter().for_each(|w| body.extend_from_slice(&w.to_be_bytes()));
                body.extend_from_slice(r.data);
            }
            assert_eq!(body, pdu[2..], "the records are the whole request");
        }
        Request::ReadFile
        | Request::Identify
        | Request::Diagnostics { .. }
        | Request::Inquiry
        | Request::Other => {}
    }
    if let Request::Read { span, .. } | Request::WriteCoils { span } | Request::WriteRegisters { span, .. } =
        &request
    {
        assert!(!span.is_empty() && span.end <= 65_536);
    }
    if let Some(reply) = pdu::write_reply(pdu) {
        assert_eq!(reply.first(), pdu.first());
    }
}
