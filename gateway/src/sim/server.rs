//! The simulated controller behind a TCP listener.
//!
//! The frames are cut by this crate's own codec, not served by tokio-modbus: that server decodes a write
//! and encodes it again, closes on a request it cannot decode where a controller answers exception 03, and
//! has no way to close its connections, which a controller does when it restarts.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hal::clock::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::controller::Controller;
use super::drive::COUNT_HZ;
use crate::protocol::modbus::frame;

/// Serves `controller` on `listener` until the listener fails. Dropping the future ends every connection.
pub async fn serve(
    listener: TcpListener,
    controller: Arc<Mutex<Controller>>,
    clock: Clock,
) -> io::Result<()> {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await?;
        while connections.try_join_next().is_some() {}
        if with(&controller, |c| c.is_reachable(clock.mono())) {
            connections.spawn(converse(socket, controller.clone(), clock.clone()));
        }
    }
}

/// Serves a tachometer on the shaft of `controller`'s drive, as a device of its own: counts in input and
/// holding register 0.
pub async fn serve_tachometer(
    listener: TcpListener,
    controller: Arc<Mutex<Controller>>,
    clock: Clock,
) -> io::Result<()> {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (mut socket, _) = listener.accept().await?;
        while connections.try_join_next().is_some() {}
        let (controller, clock) = (controller.clone(), clock.clone());
        connections.spawn(async move {
            let (mut input, mut output) = (Vec::new(), Vec::new());
            while matches!(socket.read_buf(&mut input).await, Ok(1..)) && input.len() <= MAX_INPUT {
                while let Ok(Some((request, used))) = frame::first(&input) {
                    let shaft = (with(&controller, |c| c.shaft(clock.mono())) / COUNT_HZ).round() as u16;
                    let reply = match request.pdu {
                        [function @ (3 | 4), 0, 0, 0, 1] => {
                            let [high, low] = shaft.to_be_bytes();
                            vec![*function, 2, high, low]
                        }
                        pdu => vec![pdu.first().copied().unwrap_or(0) | 0x80, 2],
                    };
                    frame::append(&mut output, request.tid, request.unit, &reply);
                    input.drain(..used);
                }
                if socket.write_all(&output).await.is_err() {
                    return;
                }
                output.clear();
            }
        });
    }
}

/// One connection, until either side closes it or the controller restarts.
async fn converse(mut socket: TcpStream, controller: Arc<Mutex<Controller>>, clock: Clock) {
    if socket.set_nodelay(true).is_err() {
        return;
    }
    let connections = with(&controller, |c| c.connections(clock.mono()));
    let (mut input, mut output) = (Vec::new(), Vec::new());
    let mut restarts = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            read = socket.read_buf(&mut input) => {
                if !matches!(read, Ok(1..)) || input.len() > MAX_INPUT {
                    return;
                }
            }
            _ = restarts.tick() => {}
        }
        let mut taken = 0;
        while let Ok(Some((request, used))) = frame::first(&input[taken..]) {
            taken += used;
            let (reply, delay) =
                with(&controller, |c| (c.request(request.unit, request.pdu, clock.mono()), c.faults().delay));
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            if let Some(pdu) = reply {
                frame::append(&mut output, request.tid, request.unit, &pdu);
            }
        }
        let broken = frame::first(&input[taken..]).is_err();
        input.drain(..taken);
        if socket.write_all(&output).await.is_err() || broken {
            return;
        }
        output.clear();
        if with(&controller, |c| c.connections(clock.mono())) != connections {
            return;
        }
    }
}

fn with<T>(controller: &Mutex<Controller>, f: impl FnOnce(&mut Controller) -> T) -> T {
    f(&mut controller.lock().unwrap_or_else(PoisonError::into_inner))
}

/// How often an idle connection is looked at: a restarted controller has closed it.
const LOOK: Duration = Duration::from_millis(20);
/// A peer that sends more without a whole frame is no station.
const MAX_INPUT: usize = 64 * 1024;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::sim::Kind;

    async fn ask(socket: &mut TcpStream, pdu: &[u8]) -> Vec<u8> {
        let mut adu = Vec::new();
        frame::append(&mut adu, 7, 1, pdu);
        socket.write_all(&adu).await.unwrap();
        let mut reply = vec![0; 260];
        let n = socket.read(&mut reply).await.unwrap();
        reply.truncate(n);
        reply
    }

    #[tokio::test]
    async fn a_connection_answers_until_the_controller_restarts() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let boot = Duration::from_millis(50);
        let controller = Arc::new(Mutex::new(Controller::new(Kind::FileRecord, 1, b"old", boot)));
        let server = tokio::spawn(serve(listener, controller.clone(), Clock::system()));
        let mut socket = TcpStream::connect(to).await.unwrap();
        assert_eq!(ask(&mut socket, &[6, 0, 1, 0, 9]).await, [0, 7, 0, 0, 0, 6, 1, 6, 0, 1, 0, 9]);
        let steps: &[&[u8]] = &[
            &[16, 0xF0, 0, 0, 3, 6, 0, 1, 0, 0, 0, 4],
            &[21, 11, 6, 0, 1, 0, 0, 0, 2, b'n', b'e', b'w', b'!'],
            &[6, 0xF0, 0, 0, 2],
        ];
        for pdu in steps {
            assert!(ask(&mut socket, pdu).await[7] < 0x80);
        }
        assert_eq!(socket.read(&mut [0; 9]).await.unwrap(), 0, "it restarts and hangs up");
        tokio::time::sleep(boot * 2).await;
        assert_eq!(
            with(&controller, |c| c.booted(Clock::system().mono() + boot * 100).map(<[u8]>::to_vec)),
            Some(b"new!".to_vec())
        );
        server.abort();
    }
}
