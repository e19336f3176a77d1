//! A relay between a gateway and a simulated controller of `generic-file-record`: it carries every byte, but
//! holds back what it is told to, from the commit of an update on. So a test can stop a gateway at that very
//! point, however long it takes to do so.
//!
//! Its threads end with their connections, the one that listens with the test.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gateway::protocol::modbus::frame;

use crate::eventually;

/// What is held back once the commit has been seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Nothing.
    Nothing,
    /// The controller's answers to FC 43/14.
    Identity,
    /// Every answer, that to the commit too, and that the controller hangs up to restart.
    Everything,
}

/// The relay.
pub struct Relay {
    /// Where the gateway is to connect.
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    hold: Hold,
    committed: bool,
    held: u64,
}

impl Relay {
    /// A relay to `controller` that holds back nothing yet.
    pub fn to(controller: SocketAddr) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(Mutex::new(State { hold: Hold::Nothing, committed: false, held: 0 }));
        let shared = state.clone();
        std::thread::spawn(move || {
            for gateway in listener.incoming().flatten() {
                // While the controller restarts nobody answers, and the gateway is hung up on.
                if let Ok(controller) = TcpStream::connect(controller) {
                    carry(&gateway, &controller, &shared);
                }
            }
        });
        Relay { address, state }
    }

    /// Holds back `what` from the next commit on; [`Hold::Nothing`] ends it.
    pub fn hold(&self, what: Hold) {
        *lock(&self.state) = State { hold: what, committed: false, held: 0 };
    }

    /// Waits until something was held back: the controller has carried out the commit.
    pub fn wait_held(&self) {
        eventually("an answer is held back", || (lock(&self.state).held > 0).then_some(()));
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Carries one connection in both directions.
fn carry(gateway: &TcpStream, controller: &TcpStream, state: &Arc<Mutex<State>>) {
    let both = || Some((gateway.try_clone().ok()?, controller.try_clone().ok()?));
    let (Some(up), Some(down)) = (both(), both()) else { return };
    let requests = state.clone();
    std::thread::spawn(move || {
        pump(&up.0, &up.1, |pdu| {
            let mut state = lock(&requests);
            state.committed |= pdu == COMMIT;
            true
        });
        hang_up(&up);
    });
    let replies = state.clone();
    std::thread::spawn(move || {
        pump(&down.1, &down.0, |pdu| {
            let mut state = lock(&replies);
            let is_held = match state.hold {
                Hold::Nothing => false,
                Hold::Identity => matches!(pdu, [43 | 0xAB, ..]),
                Hold::Everything => true,
            };
            let is_held = is_held && state.committed;
            state.held += u64::from(is_held);
            !is_held
        });
        let state = lock(&replies);
        if !(state.hold == Hold::Everything && state.committed) {
            hang_up(&down);
        }
    });
}

/// Carries whole frames that `passes` lets through, until one side is gone.
fn pump(mut from: &TcpStream, mut to: &TcpStream, passes: impl Fn(&[u8]) -> bool) {
    let (mut input, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        input.extend_from_slice(&buffer[..n]);
        while let Ok(Some((one, used))) = frame::first(&input) {
            if passes(one.pdu) && to.write_all(&input[..used]).is_err() {
                return;
            }
            input.drain(..used);
        }
    }
}

fn hang_up((gateway, controller): &(TcpStream, TcpStream)) {
    // Either may be gone already.
    let _ = gateway.shutdown(Shutdown::Both);
    let _ = controller.shutdown(Shutdown::Both);
}

/// The commit of `generic-file-record`, as a station and a delivery send it.
const COMMIT: &[u8] = &[6, 0xF0, 0, 0, 2];
