//! The management socket: one request a connection, as one line of JSON; the list of an image's parts and the image, or an
//! advisory database, follow it.
//!
//! Callers are known by their credentials, which the kernel tells: root and the gateway's own user may do
//! everything, the gateway's group may look. Nobody else gets an answer.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use firmware_verifier::sbom::MAX_SBOM;
use hal::store::Store;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, oneshot};

use crate::advisories::DatabaseIntake;
use crate::judge::{Answered, Asked, Brought, Failure, Inbox, Message, Request, SbomGiven};
use crate::vault::Vault;

/// Where what comes behind a request is written.
#[derive(Debug, Clone)]
pub struct Folders {
    /// Images.
    pub vault: Vault,
    /// Everything else.
    pub store: Store,
}

/// The line a caller sends.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    request: Request,
    /// Bytes of the image, or the database, behind the line.
    #[serde(default)]
    image: u64,
    /// The list of its parts, before the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sbom: Option<SbomLine>,
}

/// A list of parts behind the line.
#[derive(Debug, Serialize, Deserialize)]
struct SbomLine {
    len: u64,
    signature: Option<Vec<u8>>,
}

/// What goes along with a request.
pub struct Parcel<'a> {
    /// The image, or the database.
    pub image: &'a mut dyn Read,
    /// Its size in bytes.
    pub len: u64,
    /// The list of its parts.
    pub sbom: Option<&'a SbomGiven>,
}

/// The line a caller gets.
type Reply = Result<Answered, Failure>;

/// Binds the socket; one left behind by an earlier run is replaced.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Serves callers until the task is dropped.
pub async fn serve(listener: UnixListener, inbox: Inbox, folders: Option<Folders>) {
    let places = Arc::new(Semaphore::new(MAX_CALLERS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let (inbox, folders) = (inbox.clone(), folders.clone());
        tokio::spawn(async move {
            let _place = place;
            if let Err(e) = tokio::time::timeout(CALL_TIMEOUT, call(stream, inbox, folders)).await {
                tracing::debug!(error = %e, "a caller on the management socket took too long");
            }
        });
    }
}

async fn call(stream: UnixStream, inbox: Inbox, folders: Option<Folders>) {
    let (rights, caller) = (rights(&stream), caller(&stream));
    let mut stream = BufReader::new(stream);
    let reply = match take(&mut stream, rights, folders).await {
        Ok((request, brought)) => ask(&inbox, Asked { request, brought, caller }).await,
        Err(failure) => Err(failure),
    };
    let mut line = serde_json::to_vec(&reply).unwrap_or_default();
    line.push(b'\n');
    let _ = stream.write_all(&line).await;
    let _ = stream.shutdown().await;
    // A caller that is still sending its image would lose the answer with the connection: what it sends is
    // taken and dropped, until it has read the answer and hangs up.
    let mut nowhere = tokio::io::sink();
    let rest = tokio::io::copy(&mut stream, &mut nowhere);
    let _ = tokio::time::timeout(HANG_UP, rest).await;
}

async fn ask(inbox: &Inbox, asked: Asked) -> Reply {
    let (reply, answer) = oneshot::channel();
    let sent = inbox.send(Message::Ask(asked, reply)).await;
    sent.map_err(|_| Failure::internal("the gateway is stopping"))?;
    answer.await.unwrap_or_else(|_| Err(Failure::internal("the gateway is stopping")))
}

/// Who calls, for the audit log.
fn caller(stream: &UnixStream) -> String {
    stream.peer_cred().map_or("nobody knows".into(), |peer| format!("uid {}", peer.uid()))
}

/// Who runs this process, as [`caller`] would say it.
pub fn own_user() -> String {
    format!("uid {}", rustix::process::getuid().as_raw())
}

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rights {
    Everything,
    Look,
    Nothing,
}

fn rights(stream: &UnixStream) -> Rights {
    let (own_user, own_group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == 0 || peer.uid() == own_user => Rights::Everything,
        Ok(peer) if peer.gid() == own_group => Rights::Look,
        _ => Rights::Nothing,
    }
}

fn only_looks(request: &Request) -> bool {
    use Request as R;
    matches!(
        request,
        R::Status
            | R::VaultList
            | R::ReleaseList { .. }
            | R::HeldList
            | R::TicketList
            | R::HeldShow { .. }
            | R::HeldDraft { .. }
            | R::TrustShow
            | R::AdvisoriesShow
            | R::BootStates
            | R::PlcList
            | R::Case { .. }
            | R::Cases
            | R::Alarms { .. }
            | R::Learned { .. }
            | R::Signals
            | R::AuditList { .. }
            | R::AuditVerify { .. }
            | R::ConfigCompare { .. }
            | R::Doctor
    )
}

/// Reads one request and what is behind it.
async fn take(
    stream: &mut BufReader<UnixStream>,
    rights: Rights,
    folders: Option<Folders>,
) -> Result<(Request, Brought), Failure> {
    let mut line = Vec::new();
    let read = (&mut *stream).take(MAX_LINE).read_until(b'\n', &mut line).await;
    read.map_err(|e| Failure::internal(e.to_string()))?;
    let line: Line = serde_json::from_slice(&line).map_err(|e| Failure::usage(format!("no request: {e}")))?;
    match rights {
        Rights::Everything => {}
        Rights::Look if only_looks(&line.request) => {}
        _ => return Err(Failure::usage("not allowed: run this as root or as the gateway's user")),
    }
    let missing = || Failure::new(crate::reasons::STATE_DAMAGED, "there is no data folder");
    if matches!(line.request, Request::AdvisoriesImport { .. }) {
        let mut intake = DatabaseIntake::new(&folders.ok_or_else(missing)?.store, line.image)?;
        take_file(stream, line.image, "database", |piece| Ok(intake.write(piece)?)).await?;
        return Ok((line.request, Brought { database: Some(intake), ..Brought::default() }));
    }
    if !line.request.carries_image() {
        return Ok((line.request, Brought::default()));
    }
    let sbom = match line.sbom {
        Some(sbom) => Some(take_sbom(stream, sbom).await?),
        None => None,
    };
    let mut intake = folders.ok_or_else(missing)?.vault.intake(line.image)?;
    take_file(stream, line.image, "image", |piece| Ok(intake.write(piece)?)).await?;
    Ok((line.request, Brought { image: Some(intake), sbom, database: None }))
}

/// Hands a file of `len` bytes to `write`, piece by piece.
async fn take_file(
    stream: &mut BufReader<UnixStream>,
    len: u64,
    what: &str,
    mut write: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (mut buffer, mut left) = (vec![0; READ], len);
    while left > 0 {
        let want = READ.min(usize::try_from(left).unwrap_or(READ));
        let n = stream.read(&mut buffer[..want]).await.map_err(|e| Failure::internal(e.to_string()))?;
        if n == 0 {
            return Err(Failure::usage(format!("the {what} ended early")));
        }
        write(&buffer[..n])?;
        left -= n as u64;
    }
    Ok(())
}

async fn take_sbom(stream: &mut BufReader<UnixStream>, line: SbomLine) -> Result<SbomGiven, Failure> {
    let SbomLine { len, signature } = line;
    let len = usize::try_from(len)
        .ok()
        .filter(|len| *len <= MAX_SBOM)
        .ok_or_else(|| Failure::usage(format!("an SBOM of {len} bytes: at most {MAX_SBOM} are read")))?;
    let mut file = vec![0; len];
    let read = stream.read_exact(&mut file).await;
    read.map_err(|e| Failure::usage(format!("the SBOM ended early: {e}")))?;
    Ok(SbomGiven { file, signature })
}

/// Asks the running gateway. `None`: no gateway runs on this socket.
pub fn ask_running(socket: &Path, request: &Request, parcel: Option<Parcel<'_>>) -> Option<Reply> {
    let mut stream = match std::os::unix::net::UnixStream::connect(socket) {
        Ok(stream) => stream,
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            return Some(Err(Failure::usage("not allowed: run this as root or as the gateway's user")));
        }
        Err(_) => return None,
    };
    Some(
        converse(&mut stream, request, parcel)
            .unwrap_or_else(|e| Err(Failure::internal(format!("management socket: {e}")))),
    )
}

fn converse(
    stream: &mut std::os::unix::net::UnixStream,
    request: &Request,
    parcel: Option<Parcel<'_>>,
) -> io::Result<Reply> {
    stream.set_read_timeout(Some(CALL_TIMEOUT))?;
    let sbom = parcel.as_ref().and_then(|parcel| parcel.sbom);
    let line = Line {
        request: request.clone(),
        image: parcel.as_ref().map_or(0, |parcel| parcel.len),
        sbom: sbom.map(|s| SbomLine { len: s.file.len() as u64, signature: s.signature.clone() }),
    };
    let mut bytes = serde_json::to_vec(&line)?;
    bytes.push(b'\n');
    stream.write_all(&bytes)?;
    if let Some(Parcel { image, len, sbom }) = parcel {
        // A refusal may come while the image is still being sent: then the reply says why.
        let list = sbom.map_or(&[][..], |sbom| &sbom.file);
        if let Err(e) = io::copy(&mut Read::chain(list, image.take(len)), stream)
            && !matches!(e.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
        {
            return Err(e);
        }
    }
    let mut reply = Vec::new();
    stream.take(MAX_REPLY).read_to_end(&mut reply)?;
    Ok(serde_json::from_slice(&reply)?)
}

/// Callers served at once.
const MAX_CALLERS: usize = 16;
/// How long a caller may go on sending after its answer.
const HANG_UP: Duration = Duration::from_secs(10);
/// Longest request line: two signature files, as numbers.
const MAX_LINE: u64 = 2 << 20;
/// Longest reply read.
const MAX_REPLY: u64 = 16 << 20;
/// Longest call, an image of 64 MiB included.
const CALL_TIMEOUT: Duration = Duration::from_secs(120);
/// Bytes read at once.
const READ: usize = 64 * 1024;
