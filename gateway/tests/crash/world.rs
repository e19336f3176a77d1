//! A box for tests of cuts: a TPM, a site key, a vendor's key, and a data folder for each try.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use ed25519_dalek::Signer;
use firmware_verifier::document::{ConfigApproval, Document, DocumentId, Moment};
use firmware_verifier::dsse::Envelope;
use firmware_verifier::trust::Role;
use gateway::config::{Config, approved};
use gateway::judge::{
    Answered, Failure, Judge, Message, Request,
    rows::{ReleaseRow, Terms},
};
use gateway::proxy::pump::{Command, News};
use gateway::transfer::event::{Answer, Outcome, Question, Refusal, Station};
use hal::clock::Clock;
use hal::store::Fuse;
use hal::tpm::swtpm::Swtpm;
use hal::tpm::{ApprovalRequest, SiteKey, Step, Steps, Tcti, TpmError};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;

/// A TPM, a site key, a vendor's key, and a folder for each try.
pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) tpm: Arc<Mutex<Swtpm>>,
    /// The way to the TPM: a test may put something between.
    pub(crate) tcti: Tcti,
    /// More lines for the controller.
    pub(crate) plc: &'static str,
    pub(crate) site: SiteKey,
    vendor: ed25519_dalek::SigningKey,
}

impl World {
    pub(crate) fn new() -> World {
        World::of(SiteKey::generate().unwrap())
    }

    /// A box of the site that has this key.
    pub(crate) fn of(site: SiteKey) -> World {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("tpm")).unwrap();
        let tpm = Swtpm::start(&dir.path().join("tpm")).unwrap();
        let vendor = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
        let tcti = tpm.tcti();
        let world = World { dir, tpm: Arc::new(Mutex::new(tpm)), tcti, plc: "", site, vendor };
        world.boot();
        world
    }

    pub(crate) fn swtpm(&self) -> MutexGuard<'_, Swtpm> {
        self.tpm.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the TPM again, and measures what every boot of this box measures.
    pub(crate) fn restart_tpm(&self) {
        self.swtpm().restart().unwrap();
        self.boot();
    }

    /// Measures what every boot of this box measures.
    pub(crate) fn boot(&self) {
        for pcr in [0u8, 7] {
            let value = format!("{pcr}:sha256={}", "a5".repeat(32));
            let extend = std::process::Command::new("tpm2_pcrextend")
                .arg(value)
                .env("TPM2TOOLS_TCTI", self.swtpm().tcti().to_string())
                .status();
            assert!(extend.unwrap().success(), "tpm2-tools: deploy/setup.sh installs them");
        }
    }

    /// Keeps the TPM's memory as it is now: a data folder put back without it is an old one, as it should be.
    pub(crate) fn keep_tpm(&self) {
        self.swtpm().kill();
        copy(&self.dir.path().join("tpm"), &self.dir.path().join(KEPT));
        self.restart_tpm();
    }

    /// Puts the TPM's memory back.
    pub(crate) fn rewind_tpm(&self) {
        self.swtpm().kill();
        copy(&self.dir.path().join(KEPT), &self.dir.path().join("tpm"));
        self.restart_tpm();
    }

    /// The configuration for data folder `name`.
    pub(crate) fn config(&self, name: &str) -> Config {
        let text = format!(
            "schema = 1\n[gateway]\nname = \"crash\"\ndata = \"{name}\"\nsocket = \"none.sock\"\n\
             [tpm]\ntcti = \"{}\"\npcrs = [0, 7]\n[[plc]]\nid = \"p\"\nvendor = \"acme\"\nmodel = \"m\"\nmode = \"enforce\"\n{}\
             [[plc.route]]\nunit = 1\nprotocol = \"modbus-tcp\"\nlisten = \"127.0.0.1:1\"\ntarget = \"127.0.0.1:2\"\n\
             way = \"match\"\nprofile = \"generic-file-record\"\n",
            self.tcti, self.plc
        );
        Config::parse(&[("crash.toml".into(), text)], self.dir.path()).unwrap()
    }

    /// Opens a data folder with a fuse that counts files, commits and TPM writes alike.
    pub(crate) fn open(&self, name: &str, fuse: &Fuse) -> Result<Judge, Failure> {
        let tpm_fuse = fuse.clone();
        let steps: Steps = Arc::new(move |_: Step| tpm_fuse.step("TPM write").map_err(|_| TpmError::Gone));
        let config = approved::choose(self.config(name));
        Judge::open_with(config.into(), Clock::system(), fuse.clone(), Some(steps))
    }

    /// As the gateway starts: after a change of configuration that was cut off the TPM is asked which one counts.
    pub(crate) fn started(&self, name: &str) -> Judge {
        let open = || self.open(name, &Fuse::never()).unwrap_or_else(|e| panic!("{name}: {e}"));
        if approved::is_cut_off(&self.dir.path().join(name)) {
            open().open_gate();
        }
        let mut judge = open();
        judge.open_gate();
        judge
    }

    /// A data folder with an approved boot state and what `prepare` does; the TPM's memory is kept as it is then.
    pub(crate) fn prepared(
        &self,
        name: &str,
        prepare: impl FnOnce(&World, &mut Judge) -> Result<(), Failure>,
    ) {
        let mut judge = self.open(name, &Fuse::never()).unwrap();
        let request = self.init(&mut judge).unwrap();
        self.approve(&mut judge, &request).unwrap();
        prepare(self, &mut judge).unwrap();
        drop(judge);
        self.keep_tpm();
    }

    pub(crate) fn init(&self, judge: &mut Judge) -> Result<ApprovalRequest, Failure> {
        judge.init(&self.site.public().to_pem(), true)
    }

    pub(crate) fn approve(&self, judge: &mut Judge, request: &ApprovalRequest) -> Result<(), Failure> {
        let approval = serde_json::to_string(&self.site.sign(request).unwrap()).unwrap();
        judge.ask(Request::TrustApprove { approval }, None).map(drop)
    }

    pub(crate) fn trust(&self, judge: &mut Judge) -> Result<(), Failure> {
        let key = self.vendor.verifying_key().to_bytes().to_vec();
        let (name, vendor, models) = ("acme".into(), "acme".into(), vec!["m".into()]);
        let role = firmware_verifier::trust::Role::Vendor;
        let request =
            Request::TrustAdd { key, signer: None, name, role, vendor, models, from: None, until: None };
        judge.ask(request, None).map(drop)
    }

    /// A document signed by the site key.
    pub(crate) fn signed_by_site(&self, mut envelope: Envelope) -> String {
        let pem = self.site.to_pem().unwrap();
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der.secret_pkcs8_der()).unwrap();
        let signature = pair.sign(&SystemRandom::new(), &envelope.message()).unwrap();
        envelope.attach("the site", signature.as_ref()).unwrap();
        envelope.to_json().unwrap()
    }

    /// Trusts an approver, whose key comes from a seed.
    pub(crate) fn trust_approver(&self, judge: &mut Judge) -> Result<(), Failure> {
        let key = approver().verifying_key().to_bytes().to_vec();
        let (role, vendor, models) = (Role::Approver, "*".into(), vec!["*".into()]);
        let (from, until) = (None, None);
        judge
            .ask(
                Request::TrustAdd {
                    key,
                    signer: None,
                    name: "ann".into(),
                    role,
                    vendor,
                    models,
                    from,
                    until,
                },
                None,
            )
            .map(drop)
    }

    /// Approves the configuration of data folder `name`.
    pub(crate) fn approve_config(&self, judge: &mut Judge, name: &str) -> Result<(), Failure> {
        let effective = self.config(name).effective.clone();
        let now = Clock::system().wall();
        let document = Document {
            content: ConfigApproval { config: effective.digest(), weakens: false },
            expires: Moment::new(hal::clock::Wall { ms: now.ms + 86_400_000, ..now }),
            gateway: "crash".into(),
            id: DocumentId::from_bytes([9; DocumentId::LEN]),
            issued: Moment::new(now),
            reason: "a test".into(),
        };
        let mut envelope = document.to_envelope().unwrap();
        let signature = approver().sign(&envelope.message()).to_bytes();
        envelope.attach("ann", &signature).unwrap();
        let approval = envelope.to_json().unwrap();
        let document = String::from_utf8(effective.bytes().to_vec()).unwrap();
        judge.ask(Request::ConfigApprove { approval, document }, None).map(drop)
    }

    pub(crate) fn stage(&self, judge: &mut Judge) -> Result<(), Failure> {
        self.stage_as(judge, None)
    }

    /// Stages the image, with what its bringer says of its age.
    pub(crate) fn stage_as(&self, judge: &mut Judge, security_version: Option<u64>) -> Result<(), Failure> {
        let image = image();
        let mut intake = judge.intake(image.len() as u64)?;
        intake.write(&image)?;
        let signature = Some(self.vendor.sign(&image).to_bytes().to_vec());
        let (plc, name) = ("p".into(), "i".into());
        let (version, downgrade) = (None, None);
        let request = Request::Stage { plc, name, version, security_version, signature, downgrade };
        judge.ask(request, Some(intake)).map(drop)
    }

    pub(crate) fn release(&self, judge: &mut Judge, uses: u32) -> Result<(), Failure> {
        let terms = Terms { stations: vec![], ticket: None, window: None, uses, expires: None };
        let request = Request::Release { digest: digest(), plc: "p".into(), terms, downgrade: None };
        judge.ask(request, None).map(drop)
    }

    /// A download of `image` over the wire, to its end, as a conduit asks for it.
    pub(crate) fn download(&self, judge: &mut Judge, image: Vec<u8>) -> Result<(), Failure> {
        let (commands, mut orders) = tokio::sync::mpsc::channel(64);
        judge.attach(vec![(0, commands)]);
        judge.settle_after_restart();
        let mut asked = 0;
        let mut ask = |judge: &mut Judge, question: Question| {
            asked += 1;
            judge.take(Message::News(0, News::Ask(asked, question)));
            let answer = std::iter::from_fn(|| orders.try_recv().ok()).find_map(|command| match command {
                Command::Answer(id, answer) if id == asked => Some(answer),
                _ => None,
            });
            match answer {
                Some(Answer::Refused(r)) => Err(Failure::new(r.code, r.to_string())),
                Some(answer) => Ok(Some(answer)),
                None => Ok(None),
            }
        };
        let station = Station(std::net::Ipv4Addr::LOCALHOST.into());
        let opened = ask(judge, Question::Open { station, declared: None, observe: false })?;
        let Some(Answer::Opened { case, .. }) = opened else { panic!("not opened: {opened:?}") };
        let digest = gateway::protocol::Digest::of(&image);
        if let Err(refused) = ask(judge, Question::Judge { case, image, observe: false }) {
            let code = refused.code.unwrap();
            let why = Refusal { code, case: Some(case), found: "it".into(), expected: "another".into() };
            ask(judge, Question::End { case, outcome: Outcome::Refused(why), image: None })?;
            return told(judge, REFUSED);
        }
        ask(judge, Question::Start { case, digest })?;
        ask(judge, Question::PastNoReturn { case })?;
        ask(judge, Question::End { case, outcome: Outcome::Delivered, image: None })?;
        told(judge, TAKEN)
    }
}

/// Folder for the TPM's memory that is kept.
pub(crate) const KEPT: &str = "tpm-kept";

/// Held by each test here while it runs. They start and kill programs all the time, and libtss2 does not close its
/// connections on exec: a program that another test starts in the middle of a command keeps that command's connection
/// open, and swtpm serves one at a time.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn approver() -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[8; 32])
}

pub(crate) fn image() -> Vec<u8> {
    (0..9000u32).map(|n| (n * 7 % 251) as u8).collect()
}

pub(crate) fn digest() -> String {
    gateway::protocol::Digest::of(&image()).to_hex()
}

/// Copies a data folder.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Cuts `act` at every step on a copy of `base`; `holds` says whether it has happened, and must be able to
/// tell after every cut. Gives the number of cuts.
pub(crate) fn cut_everywhere(
    world: &World,
    base: &str,
    act: impl Fn(&World, &mut Judge) -> Result<(), Failure>,
    holds: impl Fn(&mut Judge) -> bool,
) -> u64 {
    for n in 0..500 {
        if base.starts_with("ready") {
            world.rewind_tpm(); // what is cut may have moved the counter
        }
        let name = format!("{base}-cut");
        let folder = world.dir.path().join(&name);
        let _ = std::fs::remove_dir_all(&folder);
        copy(&world.dir.path().join(base), &folder);
        let fuse = Fuse::at(n);
        let cut = world.open(&name, &fuse).and_then(|mut judge| {
            judge.open_gate();
            act(world, &mut judge)
        });
        let mut judge = world.started(&name);
        assert!(
            judge.gate_status().open || !base.starts_with("ready"),
            "cut {n}: {}",
            judge.gate_status().text
        );
        if cut.is_ok() && !fuse.blown() {
            assert!(holds(&mut judge), "uncut, it has happened");
            return n;
        }
        let happened = holds(&mut judge);
        if cut.is_ok() {
            assert!(happened, "cut {n}: what was said to be done is done");
        }
        act(world, &mut judge)
            .or_else(|e| if happened { Ok(()) } else { Err(e) })
            .unwrap_or_else(|e| panic!("cut {n}: again: {e}"));
        assert!(holds(&mut judge), "cut {n}: given again, it has happened");
        drop(judge);
        assert!(holds(&mut world.started(&name)), "cut {n}: and after a restart");
    }
    panic!("500 steps were not enough");
}

pub(crate) fn anchors(judge: &mut Judge) -> usize {
    match judge.ask(Request::TrustShow, None) {
        Ok(Answered::Trust(store)) => store.anchors.len(),
        _ => 0,
    }
}

/// Whether the audit log tells of a change of trust: in its own words once, or as found later, once.
pub(crate) fn told_of(judge: &mut Judge, words: &str) -> bool {
    let Ok(Answered::Audit { entries, .. }) = judge.ask(Request::AuditList { last: 100 }, None) else {
        return false;
    };
    let count = |part: &str| entries.iter().filter(|entry| entry.text.contains(part)).count();
    let late = count("no entry tells of the change");
    assert!(late <= 1, "told late more than once");
    count(words) + late > 0
}

pub(crate) fn staged(judge: &mut Judge) -> bool {
    match judge.ask(Request::VaultList, None) {
        Ok(Answered::Vault { images, .. }) => images.iter().any(|i| i.digest == digest() && i.size == 9000),
        _ => false,
    }
}

pub(crate) fn released(judge: &mut Judge) -> bool {
    match judge.ask(Request::ReleaseList { digest: None }, None) {
        Ok(Answered::Releases { releases }) => {
            assert!(releases.is_empty() || staged(judge), "a release never names an image that is not there");
            releases.iter().any(|r| r.digest == digest() && r.uses_left == 1)
        }
        _ => false,
    }
}

pub(crate) fn releases(judge: &mut Judge) -> Vec<ReleaseRow> {
    match judge.ask(Request::ReleaseList { digest: None }, None) {
        Ok(Answered::Releases { releases }) => releases,
        other => panic!("no releases: {:?}", other.err()),
    }
}

pub(crate) fn altered() -> Vec<u8> {
    let mut image = image();
    image[4000] ^= 1;
    image
}

/// What a case says at its end.
pub(crate) const REFUSED: &str = "found it, expected another";
pub(crate) const TAKEN: &str = "the controller has taken the image";

/// Nobody answers the end of a transfer; that it is on record is all that was said.
pub(crate) fn told(judge: &mut Judge, end: &str) -> Result<(), Failure> {
    let is_told = stories(judge).iter().any(|s| s.contains(end));
    if is_told { Ok(()) } else { Err(Failure::internal("the end is not on record")) }
}

/// The story of every case there is.
pub(crate) fn stories(judge: &mut Judge) -> Vec<String> {
    let Ok(Answered::Cases { cases }) = judge.ask(Request::Cases, None) else { return vec![] };
    let story = |case: String| match judge.ask(Request::Case { case }, None) {
        Ok(Answered::Cases { cases }) => {
            let lines = cases.iter().flat_map(|c| &c.story).map(|(_, text)| text.as_str());
            lines.collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    };
    cases.into_iter().map(|c| c.case).map(story).collect()
}
