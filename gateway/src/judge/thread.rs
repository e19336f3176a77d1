//! The judge's thread: one message after the other, and the proof of the boot state in between.

use std::time::Duration;

use tokio::sync::mpsc::Receiver;

use super::countersign::Word;
use super::failure::Failure;
use super::identity::words;
use super::message::{Answered, Asked, Brought, Message, Request};
use super::rollback::Leave;
use super::rows::{CaseRow, HabitRow, PlcRow, Status};
use super::trust::gate_failure;
use super::{Judge, OURSELVES, why};
use crate::audit::Kind;
use crate::proxy::pump::Command;
use crate::state::alarm::Kind as Told;
use crate::state::case::{self, Case, NewCase};
use crate::state::{identity, learned, outbox, receipt};
use crate::transfer::event::CaseId;
use crate::vault::{self, ImageIntake, Sidecar};

/// Runs the judge until it is told to stop or nobody can write to it any more.
pub fn run(mut judge: Judge, mut mail: Receiver<Message>) {
    let Ok(timer) = tokio::runtime::Builder::new_current_thread().enable_time().build() else {
        tracing::error!("the judge cannot have a timer");
        return;
    };
    judge.open_book();
    let (version, digest) = (env!("CARGO_PKG_VERSION"), *judge.config.digest().as_bytes());
    judge.note_with(Kind::Start, "gateway", &format!("headgate {version} starts"), None, Some(digest));
    judge.note_configuration();
    judge.tell_standing();
    judge.settle_after_restart();
    judge.resume_alarms();
    judge.resume_soaks();
    judge.resume_break_glass();
    judge.open_gate();
    if !judge.gate_status().open {
        judge.tell_missing(); // an open gate has told of it
    }
    judge.resume_all();
    loop {
        let due = [
            judge.silence_in(),
            judge.book_in(),
            judge.receipts_in(),
            judge.break_glass_in(),
            Some(judge.recheck_in()),
        ];
        let wait = due.into_iter().flatten().min().unwrap_or(SHORTEST).max(SHORTEST);
        match timer.block_on(async { tokio::time::timeout(wait, mail.recv()).await }) {
            Ok(Some(Message::Stop) | None) => return judge.stop(),
            Ok(Some(message)) => judge.take(message),
            Err(_) => {}
        }
        judge.tell_silence();
        judge.keep_book();
        judge.keep_receipts();
        judge.keep_break_glass();
        judge.tell_advisories();
        // However much mail there is: a proof that is due is not put off.
        if judge.recheck_in().is_zero() {
            judge.end_overdue_holds();
            let was = judge.gate_status().open;
            judge.recheck();
            if !was && judge.gate_status().open {
                judge.resume_all();
            }
        }
    }
}

impl Judge {
    fn stop(&mut self) {
        self.close_book();
        self.note(Kind::Stop, "gateway", "the gateway stops");
    }

    /// Acts on one piece of mail.
    pub fn take(&mut self, message: Message) {
        match message {
            Message::News(conduit, news) => self.news(conduit, news),
            Message::Signal(news) => self.signal_news(news),
            Message::Ask(Asked { request, brought, caller }, reply) => {
                self.caller = caller;
                if let Some((request, reply)) = self.ask_signals(request, reply) {
                    let answer = self.ask_with(request, brought);
                    // Nobody waiting any more is no reason not to have done it.
                    let _ = reply.send(answer);
                }
                self.caller = OURSELVES.into();
            }
            Message::Outbox(after, reply) => {
                let now = self.now();
                let batch = outbox::next_batch(&self.db.rows(), after, OUTBOX_BATCH, now).unwrap_or_default();
                let _ = reply.send(batch);
            }
            Message::Sent(ids) => {
                let gone = self.db.write("take messages out of the queue", |tx| {
                    ids.iter().try_for_each(|id| outbox::delete(tx, *id).map(drop))
                });
                self.log(gone);
            }
            Message::Broker(Ok(())) => {
                self.clear_alarm(None, why::BROKER_DOWN);
                self.tell_alarms_again();
            }
            Message::Broker(Err(text)) => self.raise(None, why::BROKER_DOWN, Told::State, &text),
            Message::Stop => {}
        }
    }

    /// Carries out one request of a command that comes with no more than an image.
    pub fn ask(&mut self, request: Request, image: Option<ImageIntake>) -> Result<Answered, Failure> {
        self.ask_with(request, Brought { image, ..Brought::default() })
    }

    /// Carries out one request of a command.
    pub fn ask_with(&mut self, request: Request, brought: Brought) -> Result<Answered, Failure> {
        let Brought { image, sbom, database } = brought;
        let need = |image: Option<ImageIntake>| {
            image.ok_or_else(|| Failure::usage("no image came with the request"))
        };
        match request {
            Request::Status => Ok(Answered::Status(Box::new(self.status()?))),
            Request::Verify { plc, version, security_version, signature } => {
                let version = version.map(|v| clip(&v));
                let sidecar = Sidecar { version, security_version, ..Sidecar::default() };
                self.take_image(&plc, (sidecar, None), (signature, sbom), need(image)?, false)
            }
            Request::Stage { plc, name, version, security_version, signature, downgrade } => {
                let (name, version) = (clip(&name), version.map(|v| clip(&v)));
                let sidecar = Sidecar { name, version, security_version, ..Sidecar::default() };
                let leave = downgrade.map(|ticket| Leave::given(&ticket, 1)).transpose()?;
                self.take_image(&plc, (sidecar, leave), (signature, sbom), need(image)?, true)
            }
            Request::VouchDraft { digest, plcs, expires, reason } => {
                self.vouch_draft(&digest, &Word { plcs: &plcs, expires }, &reason)
            }
            Request::Countersign { plcs, expires, name, version, security_version, approvals } => {
                let (name, version) = (clip(&name), version.map(|v| clip(&v)));
                let sidecar = Sidecar { name, version, security_version, ..Sidecar::default() };
                self.countersign(&Word { plcs: &plcs, expires }, sidecar, &approvals, need(image)?)
            }
            Request::VaultList => Ok(self.vault_list()),
            Request::VaultRemove { digest } => self.vault_remove(&digest),
            Request::VaultExport { digest, to } => self.vault_export(&digest, &to),
            Request::Release { digest, plc, terms, downgrade } => {
                self.release(&digest, &plc, terms, downgrade.as_deref())
            }
            Request::ReleaseList { digest } => self.releases(digest.as_deref()),
            Request::Withdraw { digest, plc } => self.withdraw(&digest, &plc),
            Request::Deliver { digest, plc } => self.deliver(&digest, &plc),
            Request::HeldList => self.held_list(),
            Request::HeldShow { case } => self.held_show(&case),
            Request::HeldDraft { case } => self.held_draft(&case),
            Request::HeldApprove { case, approval } => self.held_approve(&case, &approval),
            Request::HeldRefuse { case, reason } => self.held_refuse(&case, &reason),
            Request::TrustShow => self.trust_show(),
            Request::TrustAdd { key, signer, name, role, vendor, models, from, until } => {
                self.trust_add((&key, signer.as_ref()), &name, (role, &vendor, &models), (from, until))
            }
            Request::TrustCrl { list } => self.trust_crl(&list),
            Request::TrustImport { bundle, yes } => self.trust_import(&bundle, yes),
            Request::AdvisoriesShow => self.advisories_show(),
            Request::AdvisoriesImport { document, yes } => {
                let database = database.ok_or_else(|| Failure::usage("no database came with the request"))?;
                self.advisories_import(&document, database, yes)
            }
            Request::TrustRevoke { what, reason } => self.trust_revoke(&what, &reason),
            Request::TrustRemove { id } => self.trust_remove(&id),
            Request::TrustApprove { approval } => self.approve_boot_state(&approval),
            Request::ApprovalRequest { pcrs, next_epoch } => {
                let pcrs = pcrs.into_iter().map(|(index, value)| (index, *value.as_bytes())).collect();
                self.approval_request(&hal::tpm::Foreseen { pcrs, next_epoch })
            }
            Request::BootStates => self.boot_states(),
            Request::ForgetBootState { id } => self.forget_boot_state(&id),
            Request::RevokeBootStates { shut } => self.revoke_boot_states(shut),
            Request::PlcList => Ok(Answered::Plcs { plcs: self.plc_rows()? }),
            Request::PlcIdentify { plc } => self.identify(&plc),
            Request::Case { case } => {
                let number = case
                    .parse()
                    .map_err(|_| Failure::usage(format!("{case:?} is no case; cases look like C-000123")))?;
                let row = case::get(&self.db.rows(), number)?;
                let row = row.ok_or_else(|| Failure::not_found(format!("no case {number}")))?;
                Ok(Answered::Cases { cases: vec![case_row(&row)] })
            }
            Request::Cases => {
                let cases = case::list(&self.db.rows(), None, 50)?;
                Ok(Answered::Cases { cases: cases.iter().map(case_row).collect() })
            }
            Request::Alarms { all } => Ok(Answered::Alarms { alarms: self.alarms(all)? }),
            Request::AlarmAck { source, code } => self.acknowledge(&source, code),
            Request::PlcUnlock { plc, reason } => self.unlock(&plc, &reason),
            Request::Signals | Request::SignalLearn { .. } => {
                Err(Failure::new(why::NOT_READY, "signals are measured while the gateway runs: headgate run"))
            }
            Request::ConfigCompare { document } => self.config_compare(&document),
            Request::ConfigApprove { approval, document } => self.config_approve(&approval, &document),
            Request::Doctor => self.doctor(),
            Request::AuditList { last } => self.audit_list(last),
            Request::AuditVerify { against } => self.audit_verify(against.as_deref()),
            Request::AuditExport { to } => self.audit_export(&to),
            Request::Backup { to, images } => self.backup(&to, images),
            Request::AuditSetAside { reason } => self.audit_set_aside(&reason),
            Request::Learned { plc } => self.learned(&plc),
            Request::Attest { nonce } => self.attest(&nonce.0),
            Request::AnswerChallenge { challenge } => self.answer_challenge(&challenge),
            Request::CertificateRequest => self.certificate_request(),
            Request::InstallCertificate { file } => self.install_certificate(&file),
            Request::Receipt { case } => self.receipt(&case),
            Request::ReceiptKeys => self.receipt_keys(),
            Request::Period { from, to } => self.period(from, to),
            Request::BreakGlass { document } => self.break_glass(&document),
            Request::StageUnverified { plc, name, version } => {
                let (name, version) = (clip(&name), version.map(|v| clip(&v)));
                let sidecar = Sidecar { name, version, ..Sidecar::default() };
                self.stage_unverified(&plc, &sidecar, need(image)?)
            }
            Request::StageProgram { plc, name, version } => {
                let (name, version) = (clip(&name), version.map(|v| clip(&v)));
                let sidecar = Sidecar { name, version, ..Sidecar::default() };
                self.stage_program(&plc, &sidecar, need(image)?)
            }
            Request::TicketList => self.ticket_list(),
            Request::TicketClose { id, reason } => self.close_ticket(&id, &reason),
        }
    }

    pub(super) fn status(&self) -> Result<Status, Failure> {
        let usage = self.tpm.as_ref().map(hal::tpm::Tpm::usage).unwrap_or_default();
        Ok(Status {
            gateway: self.config.name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            running: !self.conduits.is_empty(),
            gate: self.gate_status(),
            plcs: self.plc_rows()?,
            open_cases: case::unsettled(&self.db.rows())?.iter().map(case_row).collect(),
            alarms: self.alarms(false)?,
            outbox: outbox::total(&self.db.rows())?.rows,
            tpm_usage: [usage.nv_increments, usage.signatures, usage.unseals],
            nv_writes: self.nv_writes(),
            configuration: self.config_words().1,
            certificate: self.certificate(),
        })
    }

    pub(super) fn plc_rows(&self) -> Result<Vec<PlcRow>, Failure> {
        let mut rows = Vec::new();
        for (index, plc) in self.config.plcs.iter().enumerate() {
            let id = plc.slot.as_str();
            let known = identity::get(&self.db.rows(), id)?;
            let links = self.conduits.iter().filter(|c| c.plc == index).map(|c| c.presence.is_up());
            rows.push(PlcRow {
                locked: self.lock_words(id),
                permissive: self.permissive_row(id),
                identity: known.as_ref().map(|k| words(&k.identity)),
                read_at: known.as_ref().map(|k| k.at),
                changed_outside: known.and_then(|k| k.changed),
                site_vouched: self.vouched_words(id),
                not_verified: self.not_verified_words(id),
                break_glass: self.break_glass_words(id),
                delivery: self.progress.get(id).map(|(case, done, len)| (case.to_string(), *done, *len)),
                ..PlcRow::configured(plc, links)
            });
        }
        Ok(rows)
    }

    fn identify(&mut self, plc: &str) -> Result<Answered, Failure> {
        self.plc(plc)?;
        let conduit = self.conduit_of(plc)?;
        self.command(conduit, Command::Identify(None));
        Ok(Answered::Done { text: format!("{plc} is being asked; headgate plc list shows what it says") })
    }

    /// The gateway installs a released image itself.
    fn deliver(&mut self, digest: &str, plc: &str) -> Result<Answered, Failure> {
        let digest = self.find_image(digest)?;
        self.takes_updates(plc)?;
        let conduit = self.conduit_of(plc)?;
        if !self.conduits[conduit].presence.is_up() {
            return Err(Failure::new(why::CONTROLLER_SILENT, format!("{plc} is not connected")));
        }
        if self.progress.contains_key(plc) {
            let text = format!("{plc} takes another delivery; headgate status shows it");
            return Err(Failure::new(why::TRANSFER_BUSY, text));
        }
        let released = self.deliverable_by_us(plc, &digest).map_err(gate_failure)?;
        let (before, known) = (self.before(plc), self.let_through(plc, &released));
        let asked = format!("delivery asked for by command: {}", released.warrant.backing());
        // Where an earlier delivery stopped past its point of no return, the old firmware is gone already.
        let open = crate::state::delivery::open_deliveries(&self.db.rows())?;
        let past =
            open.iter().any(|d| d.plc == plc && d.phase == crate::state::delivery::Phase::PastNoReturn);
        let now = self.now();
        let new = NewCase {
            plc: plc.into(),
            station: OURSELVES.into(),
            way: "stage".into(),
            class: self.class_of(plc, &digest).into(),
            digest: Some(digest),
        };
        let number = self.db.write("open a case", |tx| {
            let number = case::open(tx, &new, now)?;
            case::tell(tx, number, now, &asked)?;
            receipt::open(tx, number, before.as_deref())?;
            receipt::gather(tx, number, &known)?;
            Ok(number)
        })?;
        let case = CaseId(number.as_u64());
        self.note_unverified(plc, case, &released);
        self.start(plc, case, &digest)?;
        if past {
            self.past_no_return(case)?;
        }
        self.command(conduit, Command::Deliver { case, released, past });
        Ok(Answered::Done {
            text: format!("{case}: delivery begins; headgate explain {case} tells how it goes"),
        })
    }

    fn conduit_of(&self, plc: &str) -> Result<usize, Failure> {
        let with_update =
            |plc: &crate::config::Plc| plc.routes.iter().position(|r| r.update.is_some()).unwrap_or(0);
        let mut first = 0;
        for p in &self.config.plcs {
            if p.slot.as_str() == plc && !self.conduits.is_empty() {
                return Ok(first + with_update(p));
            }
            first += p.routes.len();
        }
        Err(Failure::new(why::NOT_READY, "the gateway is not running: start it with headgate run"))
    }

    fn learned(&self, plc: &str) -> Result<Answered, Failure> {
        self.plc(plc)?;
        let row = |l: learned::Learned| HabitRow {
            unit: l.access.unit,
            function: l.access.function,
            start: l.access.start,
            count: l.access.count,
            station: l.access.station,
            seen: l.seen,
        };
        Ok(Answered::Learned { habits: learned::list(&self.db.rows(), plc)?.into_iter().map(row).collect() })
    }
}

pub(super) fn case_row(c: &Case) -> CaseRow {
    CaseRow {
        case: c.number.to_string(),
        plc: c.plc.clone(),
        station: c.station.clone(),
        way: c.way.clone(),
        opened: c.opened,
        digest: c.digest.map(|d| vault::hex(&d)),
        state: format!("{:?}", c.state).to_lowercase(),
        code: c.code,
        story: c.story.iter().map(|l| (l.at, l.text.clone())).collect(),
    }
}

/// Text of a command, cut to what a list shows.
fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}

/// Messages handed to the feed at once.
const OUTBOX_BATCH: u32 = 64;
/// Shortest wait between two proofs.
const SHORTEST: Duration = Duration::from_millis(50);
