//! The demo's engineering station: a plain Modbus/TCP client, one request at a time.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::protocol::modbus::frame;

/// One connection to a conduit.
pub(super) struct Station {
    socket: TcpStream,
    tid: u16,
    input: Vec<u8>,
}

/// How a download ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The commit was accepted.
    Committed,
    /// This step got this exception.
    Refused { step: &'static str, offset: usize, exception: u8 },
    /// The connection broke after this many bytes.
    Broken { offset: usize },
}

impl Station {
    pub(super) fn connect(to: SocketAddr) -> io::Result<Station> {
        let socket = TcpStream::connect_timeout(&to, TIMEOUT)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        Ok(Station { socket, tid: 0, input: Vec::new() })
    }

    /// Reads holding registers; `Err` of kind `Other` carries an exception code.
    pub(super) fn read(&mut self, unit: u8, register: u16, count: u16) -> io::Result<Vec<u16>> {
        let ([a, b], [c, d]) = (register.to_be_bytes(), count.to_be_bytes());
        let reply = self.request(unit, &[3, a, b, c, d])?;
        crate::protocol::modbus::pdu::registers(&reply)
            .ok_or_else(|| io::Error::other(format!("exception {reply:02x?}")))
    }

    /// Downloads `image` as the profile `generic-file-record` says. `progress` is told each block's end and
    /// may break off by returning false.
    pub(super) fn download(&mut self, image: &[u8], mut progress: impl FnMut(usize) -> bool) -> Ended {
        let len = image.len() as u32;
        let begin = control(&[1, (len >> 16) as u16, len as u16]);
        if let Err(ended) = self.step("begin", 0, &begin) {
            return ended;
        }
        let mut offset = 0;
        while offset < image.len() {
            let (file, record) = (1 + offset / FILE, offset % FILE / 2);
            let size = BLOCK.min(image.len() - offset).min(FILE - offset % FILE);
            let mut data = image[offset..offset + size].to_vec();
            if size % 2 == 1 {
                data.push(0xFF);
            }
            if let Err(ended) = self.step("block", offset, &records(file as u16, record as u16, &data)) {
                return ended;
            }
            offset += size;
            if !progress(offset) {
                return Ended::Broken { offset };
            }
        }
        match self.step("commit", offset, &control(&[2])) {
            Ok(()) => Ended::Committed,
            Err(ended) => ended,
        }
    }

    fn step(&mut self, step: &'static str, offset: usize, pdu: &[u8]) -> Result<(), Ended> {
        match self.request(1, pdu) {
            Ok(reply) if reply.first().is_some_and(|f| f & 0x80 != 0) => {
                Err(Ended::Refused { step, offset, exception: reply.get(1).copied().unwrap_or(0) })
            }
            Ok(_) => Ok(()),
            Err(_) => Err(Ended::Broken { offset }),
        }
    }

    /// Sends one request PDU and waits for its reply PDU.
    pub(super) fn request(&mut self, unit: u8, pdu: &[u8]) -> io::Result<Vec<u8>> {
        self.tid = self.tid.wrapping_add(1);
        let mut adu = Vec::new();
        frame::append(&mut adu, self.tid, unit, pdu);
        self.socket.write_all(&adu)?;
        loop {
            if let Some((reply, used)) = frame::first(&self.input).map_err(io::Error::other)? {
                let (tid, pdu) = (reply.tid, reply.pdu.to_vec());
                self.input.drain(..used);
                if tid == self.tid {
                    return Ok(pdu);
                }
                continue;
            }
            let mut bytes = [0; 512];
            match self.socket.read(&mut bytes)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => self.input.extend_from_slice(&bytes[..n]),
            }
        }
    }
}

/// FC 16 into the control block.
fn control(values: &[u16]) -> Vec<u8> {
    let mut pdu = vec![16, 0xF0, 0x00, 0, values.len() as u8, (values.len() * 2) as u8];
    values.iter().for_each(|v| pdu.extend_from_slice(&v.to_be_bytes()));
    pdu
}

/// FC 21 with one sub-request.
fn records(file: u16, record: u16, data: &[u8]) -> Vec<u8> {
    let mut pdu = vec![21, (7 + data.len()) as u8, 6];
    for word in [file, record, (data.len() / 2) as u16] {
        pdu.extend_from_slice(&word.to_be_bytes());
    }
    pdu.extend_from_slice(data);
    pdu
}

/// Bytes of a file of 10000 records.
const FILE: usize = 20_000;
/// Bytes of a block; even, below the 244 of FC 21.
const BLOCK: usize = 240;
/// How long the station waits for a reply.
const TIMEOUT: Duration = Duration::from_secs(10);
