//! The command line: one file for each group of verbs. Every verb ends in an exit code of `docs/cli.md`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use hal::clock::Clock;

use crate::config::{Config, ConfigError, approved};
use crate::judge::rows::Status;
use crate::judge::{Answered, Brought, Failure, Judge, Request, SbomGiven, settle_change};
use crate::socket;
use crate::vault::IMAGE_LIMIT;

mod advisories;
mod attest;
mod audit;
mod backup;
mod conduit;
mod config;
mod countersign;
mod demo;
mod doctor;
mod explain;
mod held;
mod image;
mod init;
mod inspect_worker;
mod policy;
mod print;
mod receipt;
mod report;
mod run;
mod sbom;
mod sign;
mod signals;
mod signals_file;
mod sim;
mod site_key;
mod ticket;
mod trust;
mod typed;
mod watch;

/// Headgate verifies firmware on its way to controllers.
#[derive(Debug, Parser)]
#[command(name = "headgate", version, about, max_term_width = 100)]
struct Cli {
    /// Configuration file; `conf.d/*.toml` beside it is read too.
    #[arg(long, global = true, default_value = "/etc/headgate/headgate.toml", value_name = "FILE")]
    config: PathBuf,
    /// Answers and errors as JSON on standard output.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Everything on one machine: a software TPM, a broker, two simulated controllers, and a story.
    Demo(demo::Demo),
    /// Seal this gateway's key to its TPM and write a request for the site key to approve.
    Init(init::Init),
    /// Run the gateway.
    Run,
    /// The gate, controllers, open cases and alarms.
    Status,
    /// Look at everything that could be wrong with this gateway; exit code 70 when something is.
    Doctor,
    /// Say what a reason code means, or tell the story of a case.
    Explain(explain::Explain),
    /// Check an image and keep nothing.
    Verify(image::Verify),
    /// Check an image and keep it in the vault.
    Stage(image::Stage),
    /// Vouch for an image that its vendor did not sign: approvers sign, and the gateway countersigns.
    Countersign(countersign::Countersign),
    /// What is in the vault and in quarantine.
    #[command(subcommand)]
    Vault(image::VaultVerb),
    /// Allow a staged image into a controller.
    Release(image::Release),
    /// Releases that wait for people to approve them.
    #[command(subcommand)]
    Held(held::Held),
    /// Take a release back.
    Withdraw(image::OnPlc),
    /// Let the gateway itself install a released image.
    Deliver(image::OnPlc),
    /// Keys that may sign firmware, and approved boot states.
    #[command(subcommand)]
    Trust(trust::Trust),
    /// The key that approves boot states; it never lives on a gateway.
    #[command(subcommand)]
    SiteKey(site_key::SiteKeyVerb),
    /// Sign a trust bundle or ticket with a private key, on the machine where that key is kept.
    SignDocument(sign::SignDocument),
    /// Acting without a verdict, in an emergency, on a document that the site key has signed.
    #[command(subcommand)]
    Ticket(ticket::Ticket),
    /// The site's own rules for images.
    #[command(subcommand)]
    Policy(policy::PolicyVerb),
    /// Controllers.
    #[command(subcommand)]
    Plc(watch::Plc),
    /// What a conduit has learned.
    #[command(subcommand)]
    Conduit(conduit::ConduitVerb),
    /// What is measured, and what was learned of it.
    #[command(subcommand)]
    Signals(signals::Signals),
    /// The audit log: what was done and decided, and the proof that nobody has changed it since.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// What this gateway's TPM says of it, for somebody who asks; check it; answer a challenge.
    Attest(attest::Attest),
    /// Write what a spare needs to take the place of this box.
    Backup(backup::Backup),
    /// Take the place of a box that is gone, on a spare with a TPM of its own.
    Replace(backup::Replace),
    /// The signed record of an update: print it, write it, check it.
    Receipt(receipt::Receipt),
    /// Evidence for an auditor about a period.
    #[command(subcommand)]
    Report(report::Reports),
    /// What vendors say of holes in their products: make a database, look into it, ask it, have the gateway go by it.
    #[command(subcommand)]
    Advisories(advisories::Advisories),
    /// Look into an image, shut in, and list what it is made of; exit code 30 when something is wrong with it.
    Sbom(sbom::SbomOf),
    /// Alarms.
    #[command(subcommand)]
    Alarms(watch::Alarms),
    /// The configuration.
    #[command(subcommand)]
    Config(config::ConfigVerb),
    /// A simulated controller, to try a configuration without a plant.
    Sim(sim::Sim),
    /// Look into an image, shut in; the gateway starts this itself.
    #[command(hide = true)]
    InspectWorker(inspect_worker::InspectWorker),
}

/// What a verb needs besides its own arguments.
struct Context {
    config: PathBuf,
    json: bool,
}

/// What a verb says when it is done.
enum Said {
    /// An answer of the judge.
    Answer(Box<Answered>),
    /// Plain words, and the same as JSON.
    Words(String, serde_json::Value),
    /// Plain words, the same as JSON, and an exit code that is no failure of the verb.
    Judged(String, serde_json::Value, u8),
    /// It has said everything itself.
    Nothing,
}

/// Parses the command line, runs the verb, and gives the exit code.
pub fn main() -> u8 {
    let parsed = Cli::command().try_get_matches().and_then(|m| Ok((Cli::from_arg_matches(&m)?, help(&m))));
    let (cli, help) = match parsed {
        Ok(parsed) => parsed,
        Err(e) if e.use_stderr() && wants_json() => {
            let failure = Failure::usage(e.to_string().trim_end());
            return print::failure(
                &failure,
                true,
                Some("headgate --help lists the verbs, headgate VERB --help their options"),
            );
        }
        Err(e) => return print::parsing(&e),
    };
    let context = Context { config: cli.config, json: cli.json };
    match run_verb(&context, cli.verb) {
        Ok(said) => print::said(said, context.json),
        Err(failure) => print::failure(&failure, context.json, Some(&help)),
    }
}

/// Where the verb that was typed is explained.
fn help(matches: &clap::ArgMatches) -> String {
    let (mut command, mut at) = (String::from("headgate"), matches);
    while let Some((verb, inner)) = at.subcommand() {
        command += &format!(" {verb}");
        at = inner;
    }
    command + " --help says what it takes"
}

/// Whether the command line asks for JSON, although it cannot be parsed.
fn wants_json() -> bool {
    std::env::args_os().skip(1).take_while(|a| a != "--").any(|a| a == "--json")
}

fn run_verb(context: &Context, verb: Verb) -> Result<Said, Failure> {
    match verb {
        Verb::Demo(v) => demo::demo(&v),
        Verb::Init(v) => init::init(context, &v),
        Verb::Run => run::run(context),
        Verb::Status => context.ask(&Request::Status),
        Verb::Doctor => doctor::doctor(context),
        Verb::Explain(v) => explain::explain(context, &v),
        Verb::Verify(v) => image::verify(context, v),
        Verb::Stage(v) => image::stage(context, v),
        Verb::Countersign(v) => countersign::countersign(context, v),
        Verb::Vault(v) => image::vault(context, v),
        Verb::Release(v) => image::release(context, v),
        Verb::Held(v) => held::held(context, v),
        Verb::Withdraw(v) => context.ask(&Request::Withdraw { digest: v.digest, plc: v.plc }),
        Verb::Deliver(v) => context.ask(&Request::Deliver { digest: v.digest, plc: v.plc }),
        Verb::Trust(v) => trust::trust(context, v),
        Verb::SiteKey(v) => site_key::site_key(&v),
        Verb::SignDocument(v) => sign::sign(&v),
        Verb::Ticket(v) => ticket::ticket(context, v),
        Verb::Policy(v) => policy::verb(&v),
        Verb::Plc(v) => watch::plc(context, v),
        Verb::Conduit(v) => conduit::conduit(context, &v),
        Verb::Signals(v) => signals::signals(context, v),
        Verb::Attest(v) => attest::attest(context, &v),
        Verb::Backup(v) => backup::backup(context, &v),
        Verb::Replace(v) => backup::replace(context, &v),
        Verb::Audit(v) => audit::audit(context, v),
        Verb::Receipt(v) => receipt::receipt(context, &v),
        Verb::Report(v) => report::report(context, v),
        Verb::Advisories(v) => advisories::advisories(context, &v),
        Verb::Sbom(v) => sbom::sbom(&v),
        Verb::Alarms(v) => watch::alarms(context, v),
        Verb::Config(v) => config::config(context, v),
        Verb::Sim(v) => sim::sim(&v),
        Verb::InspectWorker(v) => inspect_worker::work(&v),
    }
}

impl Context {
    fn load(&self) -> Result<Config, Failure> {
        Config::load(&self.config).map_err(|e| self.wrong(&e))
    }

    /// The configuration to run: the approved one, where there is one.
    fn to_run(&self) -> Result<Config, Failure> {
        let choose = || approved::to_run(&self.config).map_err(|e| self.wrong(&e));
        let config = choose()?;
        if !approved::is_cut_off(&config.data) {
            return Ok(config);
        }
        // Rare, and the only start that waits for the TPM: it knows which of the two counts.
        settle_change(config, Clock::system());
        choose()
    }

    /// As [`Context::load`], with every file that it names.
    fn load_whole(&self) -> Result<Config, Failure> {
        let config = self.load()?;
        config.find_files().map_err(|e| self.wrong(&e))?;
        Ok(config)
    }

    /// A mistake in the configuration, and what to do about it.
    fn wrong(&self, e: &ConfigError) -> Failure {
        let failure = Failure::usage(e.to_string());
        match self.config.exists() {
            true => {
                failure.next("correct it (docs/config.md says what each key takes); headgate config check")
            }
            false => {
                failure.next("name yours with --config FILE, or write it: docs/setup.md begins with one")
            }
        }
    }

    /// Asks the running gateway, or the data folder itself when none runs.
    fn ask(&self, request: &Request) -> Result<Said, Failure> {
        self.answer(request).map(|a| Said::Answer(Box::new(a)))
    }

    fn answer(&self, request: &Request) -> Result<Answered, Failure> {
        let config = self.to_run()?;
        if let Some(reply) = socket::ask_running(&config.socket, request, None) {
            return reply;
        }
        if !config.data.exists() {
            return in_no_folder(&config, request);
        }
        judge(config)?.ask(request.clone(), None)
    }

    /// As [`Context::ask`], with an image.
    fn ask_with_image(&self, request: &Request, image: &Path) -> Result<Said, Failure> {
        self.ask_with(request, image, None)
    }

    /// As [`Context::ask`], with an image and the list of its parts.
    fn ask_with(&self, request: &Request, image: &Path, sbom: Option<SbomGiven>) -> Result<Said, Failure> {
        let config = self.load()?;
        let (mut file, len) = open_image(image)?;
        if len > IMAGE_LIMIT {
            return Err(crate::vault::VaultError::too_large(len).into());
        }
        let parcel = socket::Parcel { image: &mut file, len, sbom: sbom.as_ref() };
        if let Some(reply) = socket::ask_running(&config.socket, request, Some(parcel)) {
            return reply.map(|a| Said::Answer(Box::new(a)));
        }
        if !config.data.exists() {
            return Err(not_provisioned(&config));
        }
        let mut judge = judge(config)?;
        let mut intake = judge.vault.intake(len)?;
        intake.write_from(&mut file)?;
        judge
            .ask_with(request.clone(), Brought { image: Some(intake), sbom, database: None })
            .map(|a| Said::Answer(Box::new(a)))
    }
}

/// What there is to say before `headgate init` has made the data folder: looking makes none.
fn in_no_folder(config: &Config, request: &Request) -> Result<Answered, Failure> {
    match request {
        Request::Status => Ok(Answered::Status(Box::new(Status::before_init(config)))),
        _ => Err(not_provisioned(config)),
    }
}

fn not_provisioned(config: &Config) -> Failure {
    let text = format!("there is no data folder {}; headgate init makes it", config.data.display());
    Failure::new(crate::reasons::NOT_PROVISIONED, text)
}

/// The data folder, opened by this command alone.
fn judge(config: Config) -> Result<Judge, Failure> {
    let mut judge = open(config)?;
    judge.open_gate();
    Ok(judge)
}

/// As [`judge`], without a look at the gate.
fn open(config: Config) -> Result<Judge, Failure> {
    let mut judge =
        Judge::open(Arc::new(approved::choose(config)), Clock::system()).map_err(|e| match e.code {
            None => e.next("headgate status asks the process that has it; this command needs it stopped"),
            Some(_) => e,
        })?;
    judge.caller = socket::own_user();
    Ok(judge)
}

fn open_image(path: &Path) -> Result<(std::fs::File, u64), Failure> {
    let not_a_file =
        || Failure::usage(format!("{}: not a file", path.display())).next("give the path of a regular file");
    // Looked at before it is opened, as opening a pipe waits for somebody at its other end.
    if !std::fs::metadata(path).map_err(|e| unreadable(path, &e))?.is_file() {
        return Err(not_a_file());
    }
    let file = std::fs::File::open(path).map_err(|e| unreadable(path, &e))?;
    let meta = file.metadata().map_err(|e| unreadable(path, &e))?;
    if !meta.is_file() {
        return Err(not_a_file());
    }
    Ok((file, meta.len()))
}

fn unreadable(path: &Path, e: &std::io::Error) -> Failure {
    let failure = Failure::not_found(format!("{}: {e}", path.display()));
    match e.kind() {
        std::io::ErrorKind::NotFound => {
            failure.next("give the path of a file that is there; ls shows which are")
        }
        std::io::ErrorKind::PermissionDenied => {
            failure.next("run this as a user who may read it: ls -l shows who may")
        }
        _ => failure,
    }
}

/// Reads a small file: keys, signatures, requests.
fn read_small(path: &Path) -> Result<Vec<u8>, Failure> {
    read_at_most(path, MAX_SMALL)
}

fn read_at_most(path: &Path, max: u64) -> Result<Vec<u8>, Failure> {
    let (mut file, len) = open_image(path)?;
    if len > max {
        let text = format!("{}: {len} bytes; at most {max} are read here", path.display());
        return Err(Failure::usage(text).next(
            "it is a key, a signature, an SBOM, a request or an approval that is meant, not an image",
        ));
    }
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut file, &mut bytes)
        .map_err(|e| Failure::internal(format!("{}: {e}", path.display())))?;
    Ok(bytes)
}

fn read_text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(read_small(path)?).map_err(|_| {
        Failure::usage(format!("{}: not a text file", path.display()))
            .next("give the file as headgate wrote it: PEM or JSON")
    })
}

/// Writes a new file that only its owner can read; an existing one is never touched, and none is left half
/// written.
fn write_new(path: &Path, bytes: &[u8], secret: bool) -> Result<(), Failure> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let fail = |e: std::io::Error| Failure::usage(format!("{}: {e}", path.display()));
    let mode = if secret { 0o600 } else { 0o644 };
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = file.map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => {
            fail(e).next("nothing is overwritten: name another file, or move this one away")
        }
        _ => fail(e).next("name a file in a folder that you may write to"),
    })?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|e| {
        let _ = std::fs::remove_file(path); // it is ours, and not whole
        fail(e)
    })
}

/// Arguments that name a controller.
#[derive(Debug, Args)]
struct OfPlc {
    /// Controller id from the configuration.
    #[arg(long, value_name = "ID")]
    plc: String,
}

/// Largest key, signature or request file read.
const MAX_SMALL: u64 = 256 << 10;
