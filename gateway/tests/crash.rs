//! Power cut at every write of init, trust, stage and release, and of a verdict on the wire: files, database
//! and TPM together are before or after, and the same command, or the same download, given again, ends well.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;

use ed25519_dalek::Signer;
use firmware_verifier::document::{ConfigApproval, Document, DocumentId, Moment};
use firmware_verifier::trust::Role;
use gateway::config::Config;
use gateway::judge::{Answered, Failure, Judge, Message, Request, rows::Terms};
use gateway::proxy::pump::{Command, News};
use gateway::transfer::event::{Answer, Outcome, Question, Refusal, Station};
use hal::clock::Clock;
use hal::store::Fuse;
use hal::tpm::swtpm::Swtpm;
use hal::tpm::{ApprovalRequest, SiteKey, Step, Steps, TpmError};

/// A TPM, a site key, a vendor's key, and a folder for each try.
struct World {
    dir: tempfile::TempDir,
    tpm: std::cell::RefCell<Swtpm>,
    site: SiteKey,
    vendor: ed25519_dalek::SigningKey,
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("tpm")).unwrap();
        let tpm = Swtpm::start(&dir.path().join("tpm")).unwrap().into();
        let vendor = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
        let world = World { dir, tpm, site: SiteKey::generate().unwrap(), vendor };
        world.boot();
        world
    }

    /// Measures what every boot of this box measures.
    fn boot(&self) {
        for pcr in [0u8, 7] {
            let value = format!("{pcr}:sha256={}", "a5".repeat(32));
            let extend = std::process::Command::new("tpm2_pcrextend")
                .arg(value)
                .env("TPM2TOOLS_TCTI", self.tpm.borrow().tcti().to_string())
                .status();
            assert!(extend.unwrap().success(), "tpm2-tools: deploy/setup.sh installs them");
        }
    }

    /// Keeps the TPM's memory as it is now: a data folder put back without it is an old one, as it should be.
    fn keep_tpm(&self) {
        let mut tpm = self.tpm.borrow_mut();
        tpm.kill();
        copy(&self.dir.path().join("tpm"), &self.dir.path().join(KEPT));
        tpm.restart().unwrap();
        drop(tpm);
        self.boot();
    }

    /// Puts the TPM's memory back.
    fn rewind_tpm(&self) {
        let mut tpm = self.tpm.borrow_mut();
        tpm.kill();
        copy(&self.dir.path().join(KEPT), &self.dir.path().join("tpm"));
        tpm.restart().unwrap();
        drop(tpm);
        self.boot();
    }

    /// The configuration for data folder `name`.
    fn config(&self, name: &str) -> Arc<Config> {
        let text = format!(
            "schema = 1\n[gateway]\nname = \"crash\"\ndata = \"{name}\"\nsocket = \"none.sock\"\n\
             [tpm]\ntcti = \"{}\"\npcrs = [0, 7]\n[[plc]]\nid = \"p\"\nvendor = \"acme\"\nmodel = \"m\"\nmode = \"enforce\"\n\
             [[plc.route]]\nunit = 1\nprotocol = \"modbus-tcp\"\nlisten = \"127.0.0.1:1\"\ntarget = \"127.0.0.1:2\"\n\
             way = \"match\"\nprofile = \"generic-file-record\"\n",
            self.tpm.borrow().tcti()
        );
        Arc::new(Config::parse(&[("crash.toml".into(), text)], self.dir.path()).unwrap())
    }

    /// Opens a data folder with a fuse that counts files, commits and TPM writes alike.
    fn open(&self, name: &str, fuse: &Fuse) -> Result<Judge, Failure> {
        let tpm_fuse = fuse.clone();
        let steps: Steps = Arc::new(move |_: Step| tpm_fuse.step("TPM write").map_err(|_| TpmError::Gone));
        Judge::open_with(self.config(name), Clock::system(), fuse.clone(), Some(steps))
    }

    fn init(&self, judge: &mut Judge) -> Result<ApprovalRequest, Failure> {
        judge.init(&self.site.public().to_pem(), true)
    }

    fn approve(&self, judge: &mut Judge, request: &ApprovalRequest) -> Result<(), Failure> {
        let approval = serde_json::to_string(&self.site.sign(request).unwrap()).unwrap();
        judge.ask(Request::TrustApprove { approval }, None).map(drop)
    }

    fn trust(&self, judge: &mut Judge) -> Result<(), Failure> {
        let key = self.vendor.verifying_key().to_bytes().to_vec();
        let (name, vendor, models) = ("acme".into(), "acme".into(), vec!["m".into()]);
        let role = firmware_verifier::trust::Role::Vendor;
        let request =
            Request::TrustAdd { key, signer: None, name, role, vendor, models, from: None, until: None };
        judge.ask(request, None).map(drop)
    }

    /// Trusts an approver, whose key comes from a seed.
    fn trust_approver(&self, judge: &mut Judge) -> Result<(), Failure> {
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
    fn approve_config(&self, judge: &mut Judge, name: &str) -> Result<(), Failure> {
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

    fn stage(&self, judge: &mut Judge) -> Result<(), Failure> {
        let image = image();
        let mut intake = judge.intake(image.len() as u64)?;
        intake.write(&image)?;
        let signature = Some(self.vendor.sign(&image).to_bytes().to_vec());
        let (plc, name) = ("p".into(), "i".into());
        let (version, security_version, downgrade) = (None, None, None);
        let request = Request::Stage { plc, name, version, security_version, signature, downgrade };
        judge.ask(request, Some(intake)).map(drop)
    }

    fn release(&self, judge: &mut Judge, uses: u32) -> Result<(), Failure> {
        let terms = Terms { stations: vec![], ticket: None, window: None, uses, expires: None };
        let request = Request::Release { digest: digest(), plc: "p".into(), terms, downgrade: None };
        judge.ask(request, None).map(drop)
    }

    /// A download of `image` over the wire, to its end, as a conduit asks for it.
    fn download(&self, judge: &mut Judge, image: Vec<u8>) -> Result<(), Failure> {
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
const KEPT: &str = "tpm-kept";

fn approver() -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[8; 32])
}

fn image() -> Vec<u8> {
    (0..9000u32).map(|n| (n * 7 % 251) as u8).collect()
}

fn digest() -> String {
    gateway::protocol::Digest::of(&image()).to_hex()
}

/// Copies a data folder.
fn copy(from: &Path, to: &Path) {
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
fn cut_everywhere(
    world: &World,
    base: &str,
    act: impl Fn(&World, &mut Judge) -> Result<(), Failure>,
    holds: impl Fn(&mut Judge) -> bool,
) -> u64 {
    for n in 0..500 {
        if matches!(base, "ready" | "ready-approver") {
            world.rewind_tpm(); // these move the counter
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
        let mut judge =
            world.open(&name, &Fuse::never()).unwrap_or_else(|e| panic!("cut {n} of {base}: {e}"));
        judge.open_gate();
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
    }
    panic!("500 steps were not enough");
}

fn anchors(judge: &mut Judge) -> usize {
    match judge.ask(Request::TrustShow, None) {
        Ok(Answered::Trust(store)) => store.anchors.len(),
        _ => 0,
    }
}

fn staged(judge: &mut Judge) -> bool {
    match judge.ask(Request::VaultList, None) {
        Ok(Answered::Vault { images, .. }) => images.iter().any(|i| i.digest == digest() && i.size == 9000),
        _ => false,
    }
}

fn released(judge: &mut Judge) -> bool {
    match judge.ask(Request::ReleaseList { digest: None }, None) {
        Ok(Answered::Releases { releases }) => {
            assert!(releases.is_empty() || staged(judge), "a release never names an image that is not there");
            releases.iter().any(|r| r.digest == digest() && r.uses_left == 1)
        }
        _ => false,
    }
}

fn altered() -> Vec<u8> {
    let mut image = image();
    image[4000] ^= 1;
    image
}

/// What a case says at its end.
const REFUSED: &str = "found it, expected another";
const TAKEN: &str = "the controller has taken the image";

/// Nobody answers the end of a transfer; that it is on record is all that was said.
fn told(judge: &mut Judge, end: &str) -> Result<(), Failure> {
    let is_told = stories(judge).iter().any(|s| s.contains(end));
    if is_told { Ok(()) } else { Err(Failure::internal("the end is not on record")) }
}

/// The story of every case there is.
fn stories(judge: &mut Judge) -> Vec<String> {
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

/// Whether a download ended with the controller taking the image. What is owed to a controller is always
/// there to be delivered, and a use of the release is gone for each delivery that began.
fn delivered(judge: &mut Judge) -> bool {
    let told = stories(judge);
    let Ok(Answered::Releases { releases }) = judge.ask(Request::ReleaseList { digest: None }, None) else {
        return false;
    };
    let begun = told.iter().filter(|s| s.contains("delivery begins")).count();
    let given_back = told.iter().filter(|s| s.contains("before anything was written")).count();
    let uses = usize::try_from(releases[0].uses_left).unwrap();
    assert_eq!(uses + begun - given_back, 5, "{told:?}");
    assert!(staged(judge), "the image of a delivery stays in the vault");
    told.iter().any(|s| s.contains(TAKEN))
}

fn quarantined(judge: &mut Judge) -> bool {
    let told = stories(judge).iter().any(|s| s.contains(REFUSED));
    let Ok(Answered::Vault { quarantine, .. }) = judge.ask(Request::VaultList, None) else { return false };
    let kept = quarantine.iter().any(|i| i.digest == gateway::protocol::Digest::of(&altered()).to_hex());
    assert!(kept || !told, "a refused image is kept before its case ends");
    told && kept
}

#[test]
fn every_cut_leaves_before_or_after_and_the_command_can_be_given_again() {
    let world = World::new();
    std::fs::create_dir(world.dir.path().join("empty")).unwrap();
    let init = cut_everywhere(
        &world,
        "empty",
        |w, judge| w.init(judge).and_then(|request| w.approve(judge, &request)),
        |judge| judge.gate_status().open,
    );
    let mut judge = world.open("ready", &Fuse::never()).unwrap();
    let request = world.init(&mut judge).unwrap();
    world.approve(&mut judge, &request).unwrap();
    drop(judge);
    world.keep_tpm();
    let trust = cut_everywhere(&world, "ready", |w, j| w.trust(j), |j| anchors(j) == 1);

    world.rewind_tpm();
    copy(&world.dir.path().join("ready"), &world.dir.path().join("ready-trusting"));
    let mut judge = world.open("ready-trusting", &Fuse::never()).unwrap();
    judge.open_gate();
    world.trust(&mut judge).unwrap();
    drop(judge);
    let stage = cut_everywhere(&world, "ready-trusting", |w, j| w.stage(j), staged);

    copy(&world.dir.path().join("ready-trusting"), &world.dir.path().join("ready-staged"));
    let mut judge = world.open("ready-staged", &Fuse::never()).unwrap();
    judge.open_gate();
    world.stage(&mut judge).unwrap();
    drop(judge);
    let release = cut_everywhere(&world, "ready-staged", |w, j| w.release(j, 1), released);

    copy(&world.dir.path().join("ready-staged"), &world.dir.path().join("ready-released"));
    let mut judge = world.open("ready-released", &Fuse::never()).unwrap();
    judge.open_gate();
    world.release(&mut judge, 5).unwrap();
    drop(judge);
    let verdict = cut_everywhere(&world, "ready-released", |w, j| w.download(j, image()), delivered);
    let refused = cut_everywhere(&world, "ready-released", |w, j| w.download(j, altered()), quarantined);
    println!(
        "crash points: init and approval {init}, trust {trust}, stage {stage}, release {release}, \
         a download that passes {verdict}, one that is refused {refused}"
    );
    assert!(init >= 34 && trust >= 7 && stage >= 11 && release >= 2, "fewer crash points than there were");
    assert!(verdict >= 6 && refused >= 8, "fewer crash points than there were");
}

/// Whether the configuration of data folder `name` is the approved one. No cut leaves a name of it behind, once the
/// gate has been open.
fn approved(world: &World, judge: &mut Judge, name: &str) -> bool {
    let effective = world.config(name).effective.clone();
    let document = String::from_utf8(effective.bytes().to_vec()).unwrap();
    let Ok(Answered::Config(row)) = judge.ask(Request::ConfigCompare { document }, None) else {
        return false;
    };
    let file = |file: &str| std::fs::read(world.dir.path().join(name).join(file)).ok();
    assert!(file("config.next").is_none(), "a cut is finished, or undone");
    let approved = row.approved.as_ref() == Some(&row.given);
    assert_eq!(file("config.approved").is_some(), approved, "the digest and the file are one");
    approved
}

#[test]
fn every_cut_of_an_approval_leaves_the_old_configuration_or_the_new_one() {
    let world = World::new();
    let mut judge = world.open("ready-approver", &Fuse::never()).unwrap();
    let request = world.init(&mut judge).unwrap();
    world.approve(&mut judge, &request).unwrap();
    world.trust_approver(&mut judge).unwrap();
    drop(judge);
    world.keep_tpm();
    let name = "ready-approver-cut";
    let cuts = cut_everywhere(
        &world,
        "ready-approver",
        |w, judge| w.approve_config(judge, name),
        |judge| approved(&world, judge, name),
    );
    println!("crash points of an approval: {cuts}");
    assert!(cuts >= 10, "fewer crash points than there were: {cuts}");
}
