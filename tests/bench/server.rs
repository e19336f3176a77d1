//! The controller of the benchmarks: a Modbus/TCP server that costs as little as one can.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use gateway::protocol::modbus::frame;
use rustix::event::epoll::{self, EventData, EventFlags};

/// Serves `address` until killed.
pub(crate) fn serve(address: SocketAddr) -> std::io::Result<()> {
    let listener = TcpListener::bind(address)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut events = Vec::with_capacity(64);
    loop {
        events.clear();
        epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let place = event.data.u64();
            if place == LISTENER {
                let socket = listener.accept()?.0;
                socket.set_nodelay(true)?;
                socket.set_nonblocking(true)?;
                let place = connections.iter().position(Option::is_none).unwrap_or(connections.len());
                epoll::add(&epoll, &socket, EventData::new_u64(place as u64), EventFlags::IN)?;
                let connection = Some(Connection { socket, input: Vec::new(), output: Vec::new() });
                match connections.get_mut(place) {
                    Some(free) => *free = connection,
                    None => connections.push(connection),
                }
            } else if let Some(slot) = connections.get_mut(place as usize)
                && slot.as_mut().is_some_and(|c| c.turn().is_err())
            {
                *slot = None;
            }
        }
    }
}

struct Connection {
    socket: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Connection {
    /// One read, and one write of everything it asked for.
    fn turn(&mut self) -> std::io::Result<()> {
        let mut buffer = [0; 64 * 1024];
        let read = match self.socket.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e),
        };
        self.input.extend_from_slice(&buffer[..read]);
        let mut taken = 0;
        while let Ok(Some((request, used))) = frame::first(&self.input[taken..]) {
            taken += used;
            answer(&mut self.output, &request);
        }
        self.input.drain(..taken);
        let mut rest = self.output.as_slice();
        while !rest.is_empty() {
            match self.socket.write(rest) {
                Ok(n) => rest = &rest[n..],
                Err(e) if e.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(e) => return Err(e),
            }
        }
        self.output.clear();
        Ok(())
    }
}

fn answer(out: &mut Vec<u8>, request: &frame::Frame<'_>) {
    match *request.pdu {
        [3, _, _, _, count @ 1..=125] => {
            let mut pdu = [0x5A; 2 + 250];
            (pdu[0], pdu[1]) = (3, 2 * count);
            frame::append(out, request.tid, request.unit, &pdu[..2 + 2 * usize::from(count)]);
        }
        [16, ..] if request.pdu.len() >= 5 => {
            frame::append(out, request.tid, request.unit, &request.pdu[..5]);
        }
        [6 | 21, ..] => frame::append(out, request.tid, request.unit, request.pdu),
        [function, ..] => frame::append(out, request.tid, request.unit, &[function | 0x80, 1]),
        [] => {}
    }
}

const LISTENER: u64 = u64::MAX;
