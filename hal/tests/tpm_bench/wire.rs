//! A wire that listens in, and may lie: stands between the TPM layer and a software TPM.

use std::io::{Read, Write, copy};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use hal::tpm::Tcti;
use hal::tpm::swtpm::Swtpm;

/// Called with the code of each command before it is passed on.
type OnCommand = dyn Fn(u32) + Send + Sync;
/// Called with each response; what it leaves is passed on.
type OnResponse = dyn Fn(&mut Vec<u8>) + Send + Sync;

pub(crate) struct Wire {
    port: u16,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Wire {
    pub(crate) fn to(swtpm: &Swtpm, on_command: Arc<OnCommand>, on_response: Arc<OnResponse>) -> Wire {
        let (data, control) = listen();
        let port = data.local_addr().unwrap().port();
        let upstream = swtpm.port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        std::thread::spawn(move || {
            for client in data.incoming() {
                let (record, command, response) =
                    (Arc::clone(&record), Arc::clone(&on_command), Arc::clone(&on_response));
                let run = move || relay(client.unwrap(), upstream, &record, &*command, &*response);
                std::thread::spawn(run);
            }
        });
        std::thread::spawn(move || {
            for client in control.incoming() {
                both_ways(client.unwrap(), upstream + 1);
            }
        });
        Wire { port, seen }
    }

    pub(crate) fn tcti(&self) -> Tcti {
        Tcti::Swtpm { host: Ipv4Addr::LOCALHOST, port: self.port }
    }

    /// Whether `bytes` crossed the wire in clear.
    pub(crate) fn saw(&self, bytes: &[u8]) -> bool {
        contains(&self.seen.lock().unwrap(), bytes).is_some()
    }
}

/// Where `needle` starts in `hay`.
pub(crate) fn contains(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).position(|window| window == needle)
}

fn listen() -> (TcpListener, TcpListener) {
    loop {
        let data = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let next = data.local_addr().unwrap().port().checked_add(1);
        if let Some(Ok(control)) = next.map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port))) {
            return (data, control);
        }
    }
}

/// One command after the other; connects onward only when there is a command, as swtpm serves one
/// connection at a time.
fn relay(
    mut client: TcpStream,
    upstream: u16,
    seen: &Mutex<Vec<u8>>,
    on_command: &OnCommand,
    on_response: &OnResponse,
) -> Option<()> {
    let mut tpm = None;
    loop {
        let command = message(&mut client)?;
        seen.lock().unwrap().extend(&command);
        on_command(u32::from_be_bytes(command.get(6..10)?.try_into().ok()?));
        let tpm = match &mut tpm {
            Some(tpm) => tpm,
            none => none.insert(TcpStream::connect((Ipv4Addr::LOCALHOST, upstream)).ok()?),
        };
        tpm.write_all(&command).ok()?;
        let mut response = message(tpm)?;
        on_response(&mut response);
        seen.lock().unwrap().extend(&response);
        client.write_all(&response).ok()?;
    }
}

/// A command or response: tag, size of the whole in four bytes, the rest.
fn message(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut message = vec![0; 6];
    from.read_exact(&mut message).ok()?;
    let size = u32::from_be_bytes(message[2..6].try_into().ok()?) as usize;
    message.resize(size, 0);
    from.read_exact(message.get_mut(6..)?).ok()?;
    Some(message)
}

fn both_ways(client: TcpStream, upstream: u16) {
    let Ok(tpm) = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream)) else { return };
    for (mut from, mut to) in [(client.try_clone().unwrap(), tpm.try_clone().unwrap()), (tpm, client)] {
        std::thread::spawn(move || {
            let _ = copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Both);
        });
    }
}
