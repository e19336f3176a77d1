//! The pump of one conduit: it moves bytes between sockets and the [`Conduit`], and holds no opinion.
//!
//! One task owns every socket of the conduit, so a request crosses no task boundary on its way through.
//! Each round reads the sockets that woke it, lets the conduit think, and writes what came of it.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hal::clock::{Clock, Mono};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::alarm::Alarm;
use super::ready::Ready;
use crate::protocol::modbus::conduit::{Conduit, Event, Report, SessionId};
use crate::shield::learn::Habit;
use crate::transfer::event::{Answer, CaseId, Question, Refusal, Station};
use crate::transfer::image::Released;

/// What the rest of the gateway tells a pump.
#[derive(Debug)]
pub enum Command {
    /// The judge's answer to a question.
    Answer(u32, Answer),
    /// The gate shut for this reason, or opened.
    Gate(Option<Refusal>),
    /// Deliver a released image; `past`: the point of no return is on record already.
    Deliver {
        /// The case.
        case: CaseId,
        /// The image.
        released: Released,
        /// Whether the old firmware is gone.
        past: bool,
    },
    /// Read the controller's identity now; for a case, as after its update.
    Identify(Option<CaseId>),
}

/// What a pump tells the rest of the gateway. `conduit` is the number it was started with.
#[derive(Debug)]
pub enum News {
    /// A question of the engine, with the number its answer needs.
    Ask(u32, Question),
    /// The controller said who it is.
    Identity(Option<CaseId>, crate::protocol::modbus::conduit::ControllerSays),
    /// What the controller says in watched register number `.0`.
    Register(usize, u16),
    /// Refusals since the last report.
    Refused(Vec<Report>),
    /// Habits learned while observing.
    Habits(Vec<(Habit, u64)>),
    /// The connection to the controller came up or went down.
    Controller(bool),
    /// A delivery could not be started.
    NotDelivered(CaseId, Refusal),
    /// Bytes delivered so far and in all.
    Progress(CaseId, u64, u64),
}

/// Where a pump's news go.
pub trait Listener: Send {
    /// Whether the next [`Listener::tell`] would find no room.
    fn is_full(&self) -> bool;
    /// Takes a piece of news; never blocks.
    fn tell(&mut self, news: News);
}

/// One conduit with its sockets.
pub struct Pump<L: Listener> {
    conduit: Conduit,
    clock: Clock,
    target: SocketAddr,
    listener: TcpListener,
    stations: Vec<Option<Wire>>,
    controller: Controller,
    commands: mpsc::Receiver<Command>,
    news: L,
    /// Questions that found no room at the judge.
    unsent: VecDeque<News>,
    ready: Arc<Ready>,
    listen_waker: Waker,
    controller_waker: Waker,
    command_waker: Waker,
    alarm: Alarm,
    /// What `alarm` is set to.
    alarm_at: Option<Mono>,
    /// When reports are next handed over.
    report_at: Mono,
    buffer: Box<[u8]>,
}

/// One station's socket.
struct Wire {
    id: SessionId,
    socket: TcpStream,
    waker: Waker,
    /// The peer has closed its side.
    ended: bool,
    /// It was not read because there was no room: it is read again once there is.
    left: bool,
}

enum Controller {
    Down { retry_at: Mono },
    Connecting(Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>),
    Up(TcpStream),
}

impl<L: Listener> Pump<L> {
    /// A pump for `conduit` between the stations of `listener` and the controller at `target`.
    pub fn new(
        conduit: Conduit,
        listener: TcpListener,
        target: SocketAddr,
        commands: mpsc::Receiver<Command>,
        news: L,
        clock: Clock,
        max_stations: usize,
    ) -> io::Result<Pump<L>> {
        let ready = Ready::new(FIRST_STATION + max_stations);
        Ok(Pump {
            listen_waker: ready.waker(LISTENER),
            controller_waker: ready.waker(CONTROLLER),
            command_waker: ready.waker(COMMANDS),
            alarm: Alarm::new(ready.waker(TIMER))?,
            alarm_at: None,
            conduit,
            target,
            listener,
            stations: (0..max_stations).map(|_| None).collect(),
            controller: Controller::Down { retry_at: Mono(0) },
            commands,
            news,
            unsent: VecDeque::new(),
            ready,
            report_at: clock.mono() + REPORT_EVERY,
            buffer: vec![0; READ_SIZE].into_boxed_slice(),
            clock,
        })
    }

    /// Runs until the command channel closes.
    pub async fn run(mut self) {
        for slot in [LISTENER, CONTROLLER, COMMANDS, TIMER] {
            self.ready.mark(slot);
        }
        let mut marked = Vec::new();
        std::future::poll_fn(move |cx| self.poll(cx, &mut marked)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>, marked: &mut Vec<usize>) -> Poll<()> {
        self.ready.register(cx);
        for _ in 0..ROUNDS {
            marked.clear();
            self.ready.take(marked);
            if marked.is_empty() {
                return Poll::Pending;
            }
            let now = self.clock.mono();
            for &slot in marked.iter() {
                match slot {
                    LISTENER => self.accept(),
                    CONTROLLER => self.poll_controller(now),
                    COMMANDS => {
                        if self.obey(now).is_break() {
                            return Poll::Ready(());
                        }
                    }
                    TIMER => self.alarm_at = None, // `on_time` looks, and sets the next
                    _ => self.read_station(slot - FIRST_STATION, now),
                }
            }
            self.on_time(now);
            self.carry_events(now);
            self.write_controller(now);
            self.write_stations();
        }
        cx.waker().wake_by_ref(); // others run too
        Poll::Pending
    }

    fn accept(&mut self) {
        let waker = self.listen_waker.clone();
        let mut cx = Context::from_waker(&waker);
        for _ in 0..ACCEPTS {
            match self.listener.poll_accept(&mut cx) {
                Poll::Ready(Ok((socket, peer))) => self.welcome(socket, peer),
                // Out of descriptors or a connection that is gone already: the next accept tells.
                Poll::Ready(Err(e)) => {
                    tracing::debug!(error = %e, "accept");
                    self.conduit_full_pause();
                    return;
                }
                Poll::Pending => return,
            }
        }
        self.ready.mark(LISTENER);
    }

    /// After an error of `accept`, the listener is tried again with the next report.
    fn conduit_full_pause(&mut self) {
        self.report_at = self.report_at.min(self.clock.mono() + REPORT_EVERY);
    }

    fn welcome(&mut self, socket: TcpStream, peer: SocketAddr) {
        let _ = socket.set_nodelay(true);
        let Some(id) = self.conduit.station_connected(Station(peer.ip().to_canonical())) else { return };
        let slot = FIRST_STATION + id.index();
        if let Some(place) = self.stations.get_mut(id.index()) {
            *place = Some(Wire { id, socket, waker: self.ready.waker(slot), ended: false, left: false });
            self.ready.mark(slot);
        }
    }

    fn read_station(&mut self, index: usize, now: Mono) {
        let Some(Some(wire)) = self.stations.get_mut(index) else { return };
        let mut cx = Context::from_waker(&wire.waker);
        let mut more = true;
        for _ in 0..READS {
            wire.left = !self.conduit.wants_input(wire.id);
            if wire.left {
                more = false;
                break;
            }
            let mut buf = ReadBuf::new(&mut self.buffer);
            // After a short read tokio knows that the socket is empty: the next poll arms the waker and
            // costs no system call.
            match Pin::new(&mut wire.socket).poll_read(&mut cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    self.conduit.station_received(wire.id, buf.filled(), now);
                }
                Poll::Ready(_) => {
                    wire.ended = true;
                    more = false;
                    break;
                }
                Poll::Pending => {
                    more = false;
                    break;
                }
            }
        }
        if more {
            self.ready.mark(FIRST_STATION + index);
        }
        self.write_station(index);
    }

    fn write_stations(&mut self) {
        while let Some(index) = self.conduit.next_touched() {
            self.write_station(index);
        }
    }

    /// Writes what a station is owed; closes it when it is done.
    fn write_station(&mut self, index: usize) {
        let Some(Some(wire)) = self.stations.get_mut(index) else { return };
        let mut failed = false;
        if let Some(output) = self.conduit.station_output(wire.id) {
            failed = drain(&mut wire.socket, &wire.waker, output).is_err();
        }
        let id = wire.id;
        let done = self.conduit.station_output(id).is_none_or(|o| o.is_empty());
        if failed || wire.ended || (done && self.conduit.is_broken(id)) {
            self.stations[index] = None;
            self.conduit.station_closed(id);
            self.ready.mark(TIMER); // one more round for what follows from it
        } else if wire.left && self.conduit.wants_input(id) {
            // Room again: input that had been left in the socket is read now.
            wire.left = false;
            self.ready.mark(FIRST_STATION + index);
        }
    }

    fn poll_controller(&mut self, now: Mono) {
        let waker = self.controller_waker.clone();
        let mut cx = Context::from_waker(&waker);
        match &mut self.controller {
            Controller::Down { retry_at } if now >= *retry_at => {
                let target = self.target;
                let connect = async move {
                    let socket = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(target)).await??;
                    socket.set_nodelay(true)?;
                    Ok(socket)
                };
                self.controller = Controller::Connecting(Box::pin(connect));
                self.ready.mark(CONTROLLER);
            }
            Controller::Down { .. } => {}
            Controller::Connecting(connect) => match connect.as_mut().poll(&mut cx) {
                Poll::Ready(Ok(socket)) => {
                    self.controller = Controller::Up(socket);
                    self.tell(News::Controller(true));
                    self.conduit.controller_connected(now);
                    self.ready.mark(CONTROLLER);
                }
                Poll::Ready(Err(_)) => self.controller = Controller::Down { retry_at: now + RETRY },
                Poll::Pending => {}
            },
            Controller::Up(_) => self.read_controller(&mut cx, now),
        }
    }

    fn read_controller(&mut self, cx: &mut Context<'_>, now: Mono) {
        for _ in 0..READS {
            let Controller::Up(socket) = &mut self.controller else { return };
            let mut buf = ReadBuf::new(&mut self.buffer);
            match Pin::new(socket).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    self.conduit.controller_received(buf.filled(), now);
                    if !self.conduit.is_controller_up() {
                        return; // it broke the protocol: `carry_events` closes it
                    }
                }
                Poll::Ready(_) => return self.lose_controller(now),
                Poll::Pending => return,
            }
        }
        self.ready.mark(CONTROLLER);
    }

    fn write_controller(&mut self, now: Mono) {
        let Controller::Up(socket) = &mut self.controller else { return };
        let output = self.conduit.controller_output();
        if output.is_empty() {
            return;
        }
        if drain(socket, &self.controller_waker, output).is_err() {
            self.lose_controller(now);
        }
    }

    fn lose_controller(&mut self, now: Mono) {
        self.controller = Controller::Down { retry_at: now + RETRY };
        self.conduit.controller_disconnected(now);
        self.tell(News::Controller(false));
        self.ready.mark(TIMER); // one more round for what follows from it
    }

    /// Carries out commands; breaks when nobody can send any more.
    fn obey(&mut self, now: Mono) -> std::ops::ControlFlow<()> {
        let waker = self.command_waker.clone();
        let mut cx = Context::from_waker(&waker);
        loop {
            match self.commands.poll_recv(&mut cx) {
                Poll::Ready(None) => return std::ops::ControlFlow::Break(()),
                Poll::Ready(Some(Command::Answer(id, answer))) => self.conduit.answer(id, answer, now),
                Poll::Ready(Some(Command::Gate(shut))) => self.conduit.gate(shut, now),
                Poll::Ready(Some(Command::Identify(case))) => self.conduit.identify(case, now),
                Poll::Ready(Some(Command::Deliver { case, released, past })) => {
                    if let Err(refusal) = self.conduit.deliver(case, released, past, now) {
                        self.tell(News::NotDelivered(case, refusal));
                    }
                }
                Poll::Pending => return std::ops::ControlFlow::Continue(()),
            }
        }
    }

    /// Deadlines of the conduit, the reconnect, and the reports.
    fn on_time(&mut self, now: Mono) {
        if self.conduit.deadline().is_some_and(|at| at <= now) {
            self.conduit.expire(now);
        }
        if let Controller::Down { retry_at } = self.controller
            && retry_at <= now
        {
            self.poll_controller(now);
        }
        if self.report_at <= now {
            self.report(now);
            self.ready.mark(LISTENER);
        }
        let retry = match self.controller {
            Controller::Down { retry_at } => Some(retry_at),
            _ => None,
        };
        let next = [self.conduit.deadline(), retry, Some(self.report_at)].into_iter().flatten().min();
        // Setting the timer is not free: a deadline that moved later is noticed when the timer fires.
        if let Some(next) = next
            && self.alarm_at.is_none_or(|set| next < set)
        {
            let wait = next.since(now).max(MIN_WAIT);
            self.alarm.set(wait);
            self.alarm_at = Some(now + wait);
        }
    }

    fn report(&mut self, now: Mono) {
        self.report_at = now + REPORT_EVERY;
        let reports = self.conduit.take_reports();
        if !reports.is_empty() {
            self.tell(News::Refused(reports));
        }
        let (habits, _) = self.conduit.take_habits();
        if !habits.is_empty() {
            self.tell(News::Habits(habits));
        }
        if let Some((case, done, len)) = self.conduit.progress() {
            self.tell(News::Progress(case, done, len));
        }
    }

    fn carry_events(&mut self, now: Mono) {
        while let Some(news) = self.unsent.pop_front() {
            if let Err(news) = self.try_tell(news) {
                self.unsent.push_front(news);
                break;
            }
        }
        for event in self.conduit.take_events() {
            match event {
                Event::Ask(id, question) => self.tell(News::Ask(id, question)),
                Event::Identity(case, says) => self.tell(News::Identity(case, says)),
                Event::Register(number, value) => self.tell(News::Register(number, value)),
                Event::Reconnect => {
                    self.controller = Controller::Down { retry_at: now + RETRY };
                    self.tell(News::Controller(false));
                    self.ready.mark(TIMER);
                }
            }
        }
    }

    fn tell(&mut self, news: News) {
        if !self.unsent.is_empty() || self.news.is_full() {
            if self.unsent.len() < MAX_UNSENT {
                self.unsent.push_back(news);
            } else {
                tracing::error!("the judge takes no news; a piece was dropped");
            }
            return;
        }
        self.news.tell(news);
    }

    fn try_tell(&mut self, news: News) -> Result<(), News> {
        if self.news.is_full() {
            return Err(news);
        }
        self.news.tell(news);
        Ok(())
    }
}

/// Writes as much of `output` as the socket takes.
fn drain(socket: &mut TcpStream, waker: &Waker, output: &mut Vec<u8>) -> io::Result<()> {
    let mut cx = Context::from_waker(waker);
    let mut written = 0;
    let result = loop {
        if written == output.len() {
            break Ok(());
        }
        match Pin::new(&mut *socket).poll_write(&mut cx, &output[written..]) {
            Poll::Ready(Ok(0)) => break Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(n)) => written += n,
            Poll::Ready(Err(e)) => break Err(e),
            Poll::Pending => break Ok(()),
        }
    };
    output.drain(..written);
    result
}

/// Slots of the ready set.
const LISTENER: usize = 0;
const CONTROLLER: usize = 1;
const COMMANDS: usize = 2;
const TIMER: usize = 3;
const FIRST_STATION: usize = 4;

/// Bytes of one read.
const READ_SIZE: usize = 16 * 1024;
/// Reads of one socket before the others have their turn.
const READS: usize = 4;
/// Connections accepted in one go.
const ACCEPTS: usize = 16;
/// Rounds before the runtime's other tasks have their turn.
const ROUNDS: usize = 16;
/// Pause before the controller is tried again.
const RETRY: Duration = Duration::from_millis(200);
/// Time limit of one attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(800);
/// Time between two hand-overs of counted refusals.
const REPORT_EVERY: Duration = Duration::from_millis(200);
/// Shortest timer.
const MIN_WAIT: Duration = Duration::from_millis(1);
/// News kept while the judge takes none.
const MAX_UNSENT: usize = 256;
