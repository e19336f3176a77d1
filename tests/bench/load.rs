//! The load: one connection that waits for every reply, or many that keep requests under way.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};

/// A request that is asked again and again.
pub(crate) struct Ask {
    /// For the tables.
    pub(crate) name: &'static str,
    /// Whole ADU; its transaction id is replaced.
    pub(crate) request: Vec<u8>,
    /// Length of the whole reply.
    pub(crate) reply: usize,
}

/// What one stretch of load measured.
#[derive(Default)]
pub(crate) struct Run {
    /// From request to reply, in nanoseconds.
    pub(crate) latencies: Vec<u32>,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Ask {
    /// FC 3, 125 registers.
    pub(crate) fn read() -> Ask {
        Ask { name: "read", request: adu(&[3, 0, 0, 0, 125]), reply: 9 + 250 }
    }

    /// FC 16, 100 registers from 0.
    pub(crate) fn write() -> Ask {
        let pdu = [&[16, 0, 0, 0, 100, 200], [0xA5; 200].as_slice()].concat();
        Ask { name: "write", request: adu(&pdu), reply: 12 }
    }
}

/// An ADU to unit 1.
pub(crate) fn adu(pdu: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    gateway::protocol::modbus::frame::append(&mut out, 0, 1, pdu);
    out
}

/// One request at a time on `socket`; the reply must be as long as `reply` and no exception.
pub(crate) fn exchange(socket: &mut TcpStream, tid: u16, request: &mut [u8], reply: usize) {
    let mut buffer = [0; 512];
    request[..2].copy_from_slice(&tid.to_be_bytes());
    socket.write_all(request).expect("the proxy takes a request");
    let mut have = 0;
    while have < reply {
        match socket.read(&mut buffer[have..]) {
            Ok(n) if n > 0 => have += n,
            other => panic!("{other:?} after {have} bytes of a reply to {:02x?}", &request[..12]),
        }
        if have >= 9 {
            check(&buffer, request, tid);
        }
    }
    assert_eq!(have, reply, "a reply of another length");
}

fn check(reply: &[u8], request: &[u8], tid: u16) {
    let right = reply[..2] == tid.to_be_bytes() && reply[7] == request[7];
    assert!(right, "asked {:02x?}, got {:02x?}", &request[..12], &reply[..9]);
}

/// One connection, one request at a time. `begin` is called when the warm-up is over.
pub(crate) fn depth1(to: SocketAddr, ask: &Ask, time: Duration, begin: impl FnOnce()) -> Run {
    let mut socket = headgate_tests::connect(to);
    let mut request = ask.request.clone();
    let mut tid = 0u16;
    for _ in 0..WARM_UP {
        tid = tid.wrapping_add(1);
        exchange(&mut socket, tid, &mut request, ask.reply);
    }
    begin();
    let mut run = Run::default();
    let start = Instant::now();
    let mut last = start;
    while last - start < time {
        tid = tid.wrapping_add(1);
        exchange(&mut socket, tid, &mut request, ask.reply);
        let now = Instant::now();
        run.latencies.push((now - last).as_nanos() as u32);
        last = now;
    }
    run.took = last - start;
    run
}

/// `CONNECTIONS` connections with `DEPTH` requests under way on each.
pub(crate) fn pipelined(to: SocketAddr, ask: &Ask, time: Duration, begin: impl FnOnce()) -> Run {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
    let mut clients: Vec<Client<'_>> = (0..CONNECTIONS).map(|_| Client::new(to, ask)).collect();
    for (place, client) in clients.iter().enumerate() {
        epoll::add(&epoll, &client.socket, EventData::new_u64(place as u64), EventFlags::IN).expect("epoll");
    }
    let mut run = Run::default();
    let now = Instant::now();
    clients.iter_mut().for_each(|c| c.send(DEPTH, now));
    let mut begin = Some(begin);
    let mut start = now;
    let mut events = Vec::with_capacity(CONNECTIONS);
    loop {
        events.clear();
        epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None).expect("epoll");
        for event in &events {
            clients[event.data.u64() as usize].turn(&mut run.latencies);
        }
        let now = Instant::now();
        match &begin {
            Some(_) if run.latencies.len() >= WARM_UP => {
                begin.take().into_iter().for_each(|f| f());
                run.latencies.clear();
                start = Instant::now();
            }
            None if now - start >= time => {
                run.took = now - start;
                return run;
            }
            _ => {}
        }
    }
}

/// One of many connections.
struct Client<'a> {
    socket: TcpStream,
    ask: &'a Ask,
    tid: u16,
    sent: VecDeque<(u16, Instant)>,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Client<'_> {
    fn new(to: SocketAddr, ask: &Ask) -> Client<'_> {
        let socket = headgate_tests::connect(to);
        socket.set_nonblocking(true).expect("a socket");
        Client { socket, ask, tid: 0, sent: VecDeque::new(), input: Vec::new(), output: Vec::new() }
    }

    fn send(&mut self, count: usize, now: Instant) {
        self.output.clear();
        for _ in 0..count {
            self.tid = self.tid.wrapping_add(1);
            self.sent.push_back((self.tid, now));
            self.output.extend_from_slice(&self.tid.to_be_bytes());
            self.output.extend_from_slice(&self.ask.request[2..]);
        }
        self.socket.write_all(&self.output).expect("room for a few requests");
    }

    /// One read; every whole reply is followed by a new request.
    fn turn(&mut self, latencies: &mut Vec<u32>) {
        let mut buffer = [0; 16 * 1024];
        match self.socket.read(&mut buffer) {
            Ok(n) if n > 0 => self.input.extend_from_slice(&buffer[..n]),
            Err(e) if e.kind() == ErrorKind::WouldBlock => return,
            other => panic!("the proxy closed a connection: {other:?}"),
        }
        let now = Instant::now();
        let whole = self.input.len() / self.ask.reply;
        for reply in self.input.chunks_exact(self.ask.reply) {
            let (tid, at) = self.sent.pop_front().expect("a reply to a request");
            check(reply, &self.ask.request, tid);
            latencies.push((now - at).as_nanos() as u32);
        }
        self.input.drain(..whole * self.ask.reply);
        if whole > 0 {
            self.send(whole, now);
        }
    }
}

/// Connections of the pipelined load.
const CONNECTIONS: usize = 16;
/// Requests under way on each.
const DEPTH: usize = 8;
/// Requests before measuring begins.
const WARM_UP: usize = 2_000;
