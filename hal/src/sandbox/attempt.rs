//! What a child that was taken over might try. A self-test plays each one in a real child and sees what becomes of it.

use std::fs::File;
use std::hint::black_box;
use std::io::{self, Write};
use std::net::TcpListener;
use std::process::Command;

use super::Confined;

/// One thing that a child must not get away with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// To open a file.
    Open,
    /// To open a socket.
    Socket,
    /// To start a program.
    Exec,
    /// To start a thread.
    Thread,
    /// To use more memory than it has.
    Memory,
    /// To compute for ever.
    Cpu,
    /// To wait for ever.
    Wait,
    /// To answer without end.
    Output,
    /// To panic.
    Panic,
}

impl Attempt {
    /// All of them, with the word by which each is asked for.
    pub const ALL: [(&'static str, Attempt); 9] = [
        ("open", Attempt::Open),
        ("socket", Attempt::Socket),
        ("exec", Attempt::Exec),
        ("thread", Attempt::Thread),
        ("memory", Attempt::Memory),
        ("cpu", Attempt::Cpu),
        ("wait", Attempt::Wait),
        ("output", Attempt::Output),
        ("panic", Attempt::Panic),
    ];

    /// Tries it; what comes back is what the child got away with.
    pub fn play(self, _shut_in: &Confined) -> io::Result<String> {
        match self {
            Attempt::Open => File::open("/etc/passwd").map(|_| "opened a file".into()),
            Attempt::Socket => TcpListener::bind("127.0.0.1:0").map(|_| "opened a socket".into()),
            Attempt::Exec => Command::new("/bin/true").spawn().map(|_| "started a program".into()),
            Attempt::Thread => std::thread::Builder::new().spawn(|| ()).map(|_| "started a thread".into()),
            Attempt::Memory => {
                let mut hoard = Vec::new();
                loop {
                    hoard.push(black_box(vec![1_u8; 1 << 20]));
                }
            }
            Attempt::Cpu => loop {
                black_box(0);
            },
            // The one call that waits and is allowed is futex(2).
            Attempt::Wait => loop {
                std::thread::park();
            },
            Attempt::Output => {
                let mut out = io::stdout().lock();
                loop {
                    out.write_all(&[b'x'; 4096])?;
                }
            }
            #[expect(clippy::panic, reason = "that is what is tried")]
            Attempt::Panic => panic!("tried to panic"),
        }
    }
}
