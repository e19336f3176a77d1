//! The running gateway: the one place where every concrete type meets.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hal::clock::Clock;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::config::{self, Config, Plc, Route};
use crate::judge::{self, Failure, Inbox, Judge, Message};
use crate::protocol::modbus::conduit::{Conduit, Settings, Watched};
use crate::protocol::modbus::update::Update;
use crate::proxy::pump::{Command, Listener, News, Pump};
use crate::reasons as why;
use crate::signals::{self, Mail, Mailbox, Signals};
use crate::socket;
use crate::transfer::engine::Way;
use crate::transfer::event::{Answer, Refusal};

/// Runs the gateway until SIGTERM or SIGINT.
///
/// A judge that cannot start (a damaged state, a lost disk) shuts the gate for firmware; process traffic
/// passes all the same. Only a second gateway on the same data ends at once.
pub async fn run(config: Config) -> Result<(), Failure> {
    let config = Arc::new(config);
    let clock = Clock::system();
    let judge = match Judge::open(config.clone(), clock.clone()) {
        Ok(judge) => Some(judge),
        // Another process has the data folder.
        Err(e) if e.code.is_none() => {
            return Err(e.next("headgate status asks it; stop it before another runs"));
        }
        Err(e) => {
            tracing::error!(error = %e, "no judge: firmware is refused, process traffic passes");
            None
        }
    };
    let (inbox, mail) = mpsc::channel(MAIL);
    let folders = judge.as_ref().map(|j| socket::Folders { vault: j.vault.clone(), store: j.store.clone() });
    let store = judge.as_ref().map(|j| j.store.clone());
    let kept = judge.as_ref().map_or_else(Default::default, Judge::baselines_kept);
    let Measuring { mailbox, ending, threads: measuring } =
        start_signals(&config, &clock, store.as_ref(), kept, &inbox)?;
    let links = start_conduits(&config, &clock, &inbox, &mailbox).await?;
    let bell = Arc::new(tokio::sync::Notify::new());
    if let Some(mqtt) = config.mqtt.clone() {
        let (name, inbox, bell) = (config.name.clone(), inbox.clone(), bell.clone());
        let own = judge.as_ref().and_then(Judge::device_key);
        // It ends with the runtime: what is queued stays on disk.
        tokio::spawn(crate::feed::run(mqtt, name, inbox, bell, own, std::future::pending()));
    }
    let for_judge = mailbox.clone();
    let judging = std::thread::Builder::new().name("judge".into()).spawn(move || match judge {
        Some(mut judge) => {
            judge.attach(links);
            judge.attach_feed(bell);
            judge.attach_signals(for_judge);
            judge::run(judge, mail);
        }
        None => refuse_everything(&links, mail),
    });
    let judging = judging.map_err(|e| Failure::internal(e.to_string()))?;
    let listener = socket::bind(&config.socket).map_err(|e| {
        Failure::usage(format!("management socket {}: {e}", config.socket.display()))
            .next("change socket of [gateway], or run this as a user who may write there")
    })?;
    let serving = tokio::spawn(socket::serve(listener, inbox.clone(), folders));
    tracing::info!(gateway = %config.name, controllers = config.plcs.len(), "running");
    stopped().await;
    serving.abort();
    let _ = std::fs::remove_file(&config.socket);
    let _ = inbox.send(Message::Stop).await;
    ending.store(true, Ordering::Relaxed);
    let _ = mailbox.try_send(Mail::Stop);
    let join = move || measuring.into_iter().chain([judging]).for_each(|thread| drop(thread.join()));
    let _ = tokio::task::spawn_blocking(join).await;
    Ok(())
}

/// What measures, and how it is reached and ended.
struct Measuring {
    mailbox: Mailbox,
    ending: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

/// The inputs, the buses, and the threads that judge what they measure; what those say goes to the judge.
fn start_signals(
    config: &Config,
    clock: &Clock,
    store: Option<&hal::store::Store>,
    kept: std::collections::BTreeSet<String>,
    inbox: &Inbox,
) -> Result<Measuring, Failure> {
    let (mailbox, mail) = std::sync::mpsc::sync_channel(signals::MAIL);
    let tell = || -> signals::Tell {
        let to_judge = inbox.clone();
        Box::new(move |news| to_judge.try_send(Message::Signal(news)).is_ok())
    };
    let regime = |plc: &Plc| Some((plc.slot.as_str().to_owned(), plc.regime.as_ref()?.selector.clone()));
    let regimes = config.plcs.iter().filter_map(regime).collect();
    let ending = Arc::new(AtomicBool::new(false));
    let (buses, mut threads) = signals::bus::start(&config.buses, clock, store, tell, &ending);
    let mut measured = config.signals.clone();
    if let Some(every) = config.health {
        // After those of the configuration, whose numbers the conduits know.
        measured.extend(signals::standard_health(every, &config.signals));
    }
    let keys = signals::permissive::Keys::new(&config.plcs, &measured);
    let setup = signals::Setup { soak: config.soak, regimes, buses, keys, kept };
    let watching = Signals::new(&measured, setup, clock.clone(), store.cloned(), tell());
    let thread = std::thread::Builder::new().name("signals".into()).spawn(move || watching.run(&mail));
    threads.push(thread.map_err(|e| Failure::internal(e.to_string()))?);
    signals::start(&measured, clock, &mailbox, &ending);
    Ok(Measuring { mailbox, ending, threads })
}

type Links = Vec<(usize, mpsc::Sender<Command>)>;

async fn start_conduits(
    config: &Config,
    clock: &Clock,
    inbox: &Inbox,
    mailbox: &Mailbox,
) -> Result<Links, Failure> {
    let mut links = Links::new();
    for (index, plc) in config.plcs.iter().enumerate() {
        for route in &plc.routes {
            let listener = listen(route.listen).map_err(|e| cannot_listen(plc, route, &e))?;
            let (commands, orders) = mpsc::channel(COMMANDS);
            let (registers, reports) = reports(config, plc);
            let news = ToJudge {
                conduit: links.len(),
                inbox: inbox.clone(),
                reports,
                mailbox: mailbox.clone(),
                clock: clock.clone(),
            };
            let mut conduit = conduit(plc, route, clock);
            conduit.watch(registers, clock.mono());
            let pump =
                Pump::new(conduit, listener, route.target, orders, news, clock.clone(), route.max_stations)
                    .map_err(|e| Failure::internal(format!("{}: {e}", plc.slot.as_str())))?;
            tokio::spawn(pump.run());
            links.push((index, commands));
        }
    }
    Ok(links)
}

/// What a watched register is for.
enum Meaning {
    /// The value of this signal, after this scale.
    Signal(usize, f64),
    /// The regime of this controller.
    Regime(String),
}

/// What a controller is asked about itself and its signals, and what each register is for.
fn reports(config: &Config, plc: &Plc) -> (Vec<Watched>, Vec<Meaning>) {
    let of_plc = |s: &&(usize, &config::Signal)| s.1.spec.plc.as_deref() == Some(plc.slot.as_str());
    let signals: Vec<_> = config.signals.iter().enumerate().collect();
    let reported = signals.iter().filter(of_plc).filter_map(|(n, s)| Some((*n, s.reported?)));
    let watched = |(number, (register, every)): (usize, (config::Register, std::time::Duration))| {
        let watched = Watched { function: register.function, address: register.address, every };
        (watched, Meaning::Signal(number, register.scale))
    };
    let regime = plc.regime.as_ref().map(|r| {
        let watched = Watched { function: r.register.function, address: r.register.address, every: r.every };
        (watched, Meaning::Regime(plc.slot.as_str().to_owned()))
    });
    regime.into_iter().chain(reported.map(watched)).unzip()
}

/// The conduit of one route, shut until the judge opens the gate.
fn conduit(plc: &Plc, route: &Route, clock: &Clock) -> Conduit {
    let settings = Settings {
        unit: route.unit,
        way: route.update.as_ref().map_or(Way::Stage, |(way, _)| *way),
        enforce: plc.enforce,
        safety: plc.safety,
        max_stations: route.max_stations,
        max_per_address: route.max_per_address,
        longest_transfer: route.longest_transfer,
        in_flight: route.in_flight,
        reply: route.reply,
        poll_every: route.poll_every,
    };
    // A window of any of the controller's profiles is shut on every conduit to it.
    let others = plc.routes.iter().filter_map(|r| r.update.as_ref()).flat_map(|(_, p)| p.guarded()).collect();
    let update = route.update.as_ref().map(|(_, profile)| Update::new(profile.clone(), others));
    let now = clock.mono();
    let mut conduit = Conduit::new(settings, route.allow.clone(), update, now);
    let starting = Refusal {
        code: why::NOT_READY,
        case: None,
        found: "the gateway has just started".into(),
        expected: "a first proof of the boot state".into(),
    };
    conduit.gate(Some(starting), now);
    conduit
}

/// A mistake of the set-up: the address is another program's, not of this machine, or not for this user.
fn cannot_listen(plc: &Plc, route: &Route, e: &io::Error) -> Failure {
    let address = route.listen;
    let failure = Failure::usage(format!("{}: cannot listen on {address}: {e}", plc.slot.as_str()));
    match e.kind() {
        io::ErrorKind::AddrInUse => failure.next(format!(
            "ss -ltnp 'sport = :{}' names the program that has it: stop that, or change listen of the route",
            address.port()
        )),
        io::ErrorKind::AddrNotAvailable => {
            failure.next("ip address shows the addresses of this machine: change listen of the route")
        }
        io::ErrorKind::PermissionDenied => failure.next(
            "ports below 1024 are for root and CAP_NET_BIND_SERVICE: give it, or change listen of the route",
        ),
        _ => failure.next("change listen of the route"),
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let kind = if address.is_ipv4() { socket2::Domain::IPV4 } else { socket2::Domain::IPV6 };
    let socket = socket2::Socket::new(kind, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    socket.set_reuse_address(true)?; // a restart must not wait for TIME_WAIT
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Stands in for a judge that could not start.
fn refuse_everything(links: &Links, mut mail: mpsc::Receiver<Message>) {
    let refusal = || Refusal {
        code: why::STATE_DAMAGED,
        case: None,
        found: "the state cannot be read".into(),
        expected: "a readable data folder".into(),
    };
    for (_, commands) in links {
        let _ = commands.try_send(Command::Gate(Some(refusal())));
    }
    while let Some(message) = mail.blocking_recv() {
        match message {
            Message::Stop => return,
            Message::News(conduit, News::Ask(id, _)) if id != 0 => {
                let _ = links[conduit].1.try_send(Command::Answer(id, Answer::Refused(refusal())));
            }
            Message::Ask(_, reply) => {
                let failure = Failure::new(why::STATE_DAMAGED, "the state cannot be read; see the journal");
                let _ = reply.send(Err(failure));
            }
            _ => {}
        }
    }
}

/// A conduit's way to the judge.
struct ToJudge {
    conduit: usize,
    inbox: Inbox,
    /// What each watched register is for.
    reports: Vec<Meaning>,
    mailbox: Mailbox,
    clock: Clock,
}

impl Listener for ToJudge {
    fn is_full(&self) -> bool {
        self.inbox.capacity() == 0
    }

    fn tell(&mut self, news: News) {
        if let News::Register(number, value) = news {
            let said = self.reports.get(number).map(|said| match said {
                Meaning::Signal(signal, scale) => {
                    Mail::Report(*signal, self.clock.mono(), f64::from(value) * scale)
                }
                Meaning::Regime(plc) => Mail::Regime(plc.clone(), value),
            });
            if let Some(report) = said {
                // A report that finds no room is one that is missed: the signal's own quality shows it.
                let _ = self.mailbox.try_send(report);
            }
            return;
        }
        if self.inbox.try_send(Message::News(self.conduit, news)).is_err() {
            tracing::error!(conduit = self.conduit, "the judge takes no mail");
        }
    }
}

async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut term) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = term.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Mail the judge may have waiting.
const MAIL: usize = 1024;
/// Commands a conduit may have waiting.
const COMMANDS: usize = 64;
/// Connections the kernel keeps for us while we are busy.
const BACKLOG: i32 = 128;
