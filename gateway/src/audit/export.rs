//! What an auditor is given: plain files that need nothing of Headgate's to be checked.
//!
//! Opens nothing for writing: names and pieces of content go to whoever calls. A name that comes again goes on where
//! it was. Proofs of inclusion are c2sp.org/tlog-proof, version 1; for proofs of consistency there is no such form.

use std::io;

use super::checkpoint::LogKey;
use super::error::AuditError;
use super::log::Log;
use super::sealed::Sealed;
use super::tree::{Hash, ProofError};

/// Takes a file's name, below the folder of the bundle, and the next piece of its content.
pub type Sink<'a> = dyn FnMut(&str, &[u8]) -> io::Result<()> + 'a;

/// The whole log: `entries.jsonl`, `leaves.txt`, `checkpoints/`, `times.txt`, `key.pem`, `README.txt`.
pub fn bundle(log: &Log, out: &mut Sink<'_>) -> Result<(), AuditError> {
    put(out, "README.txt", &readme(log.key()))?;
    put(out, "key.pem", &log.key().to_pem())?;
    // Also a log without entries has these files.
    put(out, "entries.jsonl", "")?;
    put(out, "leaves.txt", "")?;
    let mut entries = log.raw(0..log.size());
    while let Some(leaf) = entries.advance()? {
        let line = [entries.body(), b"\n"].concat();
        out("entries.jsonl", &line).map_err(failed)?;
        put(out, "leaves.txt", &format!("{leaf}\n"))?;
    }
    put(out, "times.txt", "")?;
    for sealed in log.checkpoints()? {
        let sealed = sealed?;
        put_checkpoint(out, &sealed)?;
        let trusted = if sealed.at.trusted { "" } else { " (clock not set)" };
        put(out, "times.txt", &format!("{} {}{trusted}\n", sealed.checkpoint().size, sealed.at))?;
    }
    Ok(())
}

/// One entry with the proof that the newest checkpoint covers it: `proofs/entry-N.json`,
/// `proofs/inclusion-N.tlog-proof`, `key.pem`.
pub fn inclusion(log: &Log, index: u64, out: &mut Sink<'_>) -> Result<(), AuditError> {
    let covered = log.newest().map_or(0, |sealed| sealed.checkpoint().size);
    let beyond = || AuditError::NoSuch(ProofError::Beyond { found: index, size: covered });
    let sealed = log.newest().filter(|_| index < covered).ok_or_else(beyond)?;
    let proof = log.inclusion(index, sealed.checkpoint())?;
    let mut entry = log.raw(index..index + 1);
    entry.advance()?.ok_or_else(beyond)?;
    put(out, "key.pem", &log.key().to_pem())?;
    let line = [entry.body(), b"\n"].concat();
    out(&format!("proofs/entry-{index}.json"), &line).map_err(failed)?;
    let text = format!("c2sp.org/tlog-proof@v1\nindex {index}\n{}\n{}", hashes(&proof), sealed.note);
    put(out, &format!("proofs/inclusion-{index}.tlog-proof"), &text)
}

/// Two checkpoints, by their sizes, with the proof that the newer continues the older:
/// `proofs/consistency-OLD-NEW.txt`, both of `checkpoints/`, `key.pem`.
pub fn consistency(log: &Log, old: u64, new: u64, out: &mut Sink<'_>) -> Result<(), AuditError> {
    let (older, newer) = (log.checkpoint(old)?, log.checkpoint(new)?);
    let proof = log.consistency(old, new)?;
    put(out, "key.pem", &log.key().to_pem())?;
    put_checkpoint(out, &older)?;
    if new != old {
        put_checkpoint(out, &newer)?;
    }
    let text = format!("headgate/consistency-proof/v1\nold {old}\nnew {new}\n{}", hashes(&proof));
    put(out, &format!("proofs/consistency-{old}-{new}.txt"), &text)
}

/// The name of a checkpoint's file: its size, in as many digits as sort well.
pub fn checkpoint_name(size: u64) -> String {
    format!("checkpoints/{size:020}.txt")
}

fn put_checkpoint(out: &mut Sink<'_>, sealed: &Sealed) -> Result<(), AuditError> {
    put(out, &checkpoint_name(sealed.checkpoint().size), &sealed.note.to_string())
}

fn put(out: &mut Sink<'_>, name: &str, text: &str) -> Result<(), AuditError> {
    out(name, text.as_bytes()).map_err(failed)
}

fn failed(source: io::Error) -> AuditError {
    AuditError::Export { source }
}

fn hashes(proof: &[Hash]) -> String {
    proof.iter().map(|hash| hash.to_base64() + "\n").collect()
}

fn readme(key: &LogKey) -> String {
    let name = key.name();
    let id: String = key.id().iter().map(|b| format!("{b:02x}")).collect();
    format!(
        "Audit log of {name}
==========================================================

entries.jsonl   one entry a line, in order, in canonical JSON (RFC 8785); line N holds entry N-1
leaves.txt      the leaf hash of each entry; proves nothing, but tells which entry was changed
checkpoints/    signed checkpoints (c2sp.org/tlog-checkpoint), named by the number of entries they cover
times.txt       when each checkpoint was signed, as the box's clock had it; not signed
key.pem         the public key, P-256, of the key in the TPM of the gateway; its id is {id}

Compare key.pem with the one that was noted down when the gateway was set up: whoever gave you this folder could
have made another key. Keep the newest checkpoint: with it, a later copy of the log cannot have been rolled back.

With Python, OpenSSL and audit.py, which is not in this folder: take it from tests/peers in the source code of Headgate:

    python3 audit.py verify . [--key YOUR-KEY.pem] [--seen YOUR-CHECKPOINT.txt]

By hand, the signature of one checkpoint:

    F=checkpoints/SIZE.txt
    sed '/^$/,$d' $F > text
    grep '^\u{2014} {name} ' $F | cut -d' ' -f3 | base64 -d | tail -c +5 > signature
    openssl dgst -sha256 -verify key.pem -signature signature text

The third line of the text is the root of the Merkle tree (RFC 9162, section 2.1) of the first SIZE lines of
entries.jsonl, each without its line feed.
"
    )
}
