//! The Merkle tree of RFC 9162 §2.1 (that of RFC 6962): hashes, roots, proofs and their verification.
//!
//! Pure, and small: a [`Range`] holds one hash for each bit of the size, whatever the size. Proofs are made from a
//! source of leaf hashes, each of which they ask for once, in ascending order within a subtree.

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A SHA-256 hash of a leaf or a node; prints as lower-case hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// RFC 9162 §2.1.1: the hash of a leaf is SHA-256(0x00 || entry).
    pub fn of_leaf(entry: &[u8]) -> Hash {
        Hash::of(&[&[0x00], entry])
    }

    /// RFC 9162 §2.1.1: the hash of a node is SHA-256(0x01 || left || right).
    pub fn of_node(left: &Hash, right: &Hash) -> Hash {
        Hash::of(&[&[0x01], &left.0, &right.0])
    }

    /// RFC 9162 §2.1.1: the root of no leaves is the hash of nothing.
    pub fn of_empty() -> Hash {
        Hash::of(&[])
    }

    /// Reads 64 lower-case hexadecimal digits, as they print.
    pub fn from_hex(text: &str) -> Option<Hash> {
        crate::vault::from_hex(text).map(Hash)
    }

    /// Standard Base64 (RFC 4648 §4), as checkpoints and proofs write a hash: 44 characters.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// Reads what [`Hash::to_base64`] writes, and nothing else.
    pub fn from_base64(text: &str) -> Option<Hash> {
        STANDARD.decode(text).ok()?.try_into().ok().map(Hash)
    }

    fn of(parts: &[&[u8]]) -> Hash {
        let mut context = Context::new(&SHA256);
        parts.iter().for_each(|part| context.update(part));
        let mut value = [0; 32];
        value.copy_from_slice(context.finish().as_ref()); // SHA-256 is 32 bytes long
        Hash(value)
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&crate::vault::hex(&self.0))
    }
}

/// The leaves so far, as the roots of their perfect subtrees, largest first: what is needed to append and to
/// tell the root. Appending costs two hashes on average.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Range {
    size: u64,
    /// One for each bit that is set in `size`.
    nodes: Vec<Hash>,
}

impl Range {
    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            // One node for each bit that is set.
            let Some(left) = self.nodes.pop() else { break };
            node = Hash::of_node(&left, &node);
        }
        self.nodes.push(node);
        self.size += 1;
    }

    /// RFC 9162 §2.1.1: the root of the tree of these leaves.
    pub fn root(&self) -> Hash {
        let mut nodes = self.nodes.iter().rev();
        let smallest = nodes.next().copied().unwrap_or_else(Hash::of_empty);
        nodes.fold(smallest, |right, left| Hash::of_node(left, &right))
    }
}

/// A proof that was not asked for rightly, or does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// There is no such leaf, or the older tree is the larger.
    #[error("{found} is not in a tree of {size} entries")]
    Beyond {
        /// The index, or the older size.
        found: u64,
        /// Size of the tree.
        size: u64,
    },
    /// Too few or too many hashes.
    #[error("the proof has {found} hashes, {expected} are needed")]
    Length {
        /// How many there are.
        found: usize,
        /// How many the sizes ask for.
        expected: usize,
    },
    /// The hashes lead to another root.
    #[error("the proof leads to the root {found} of the {which} tree, expected {expected}")]
    Root {
        /// `older`, `newer` or, for an inclusion, `whole`.
        which: &'static str,
        /// Where it leads.
        found: Hash,
        /// Where it should.
        expected: Hash,
    },
}

/// RFC 9162 §2.1.3.1: the hashes that lead from leaf `index` to the root of the first `size` leaves, from the
/// leaf's sibling on. `None` when there is no such leaf.
pub fn inclusion<E>(
    index: u64,
    size: u64,
    leaf: &mut dyn FnMut(u64) -> Result<Hash, E>,
) -> Result<Option<Vec<Hash>>, E> {
    if index >= size {
        return Ok(None);
    }
    let (mut from, mut to, mut path) = (0, size, Vec::new());
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            path.push((middle, to));
            to = middle;
        } else {
            path.push((from, middle));
            from = middle;
        }
    }
    roots(path, leaf).map(Some)
}

/// RFC 9162 §2.1.4.1: the hashes that show that the first `old` leaves are the beginning of the first `new`.
/// `None` when `old` is the larger. Empty when they are equal or `old` is 0, where nothing needs a proof.
pub fn consistency<E>(
    old: u64,
    new: u64,
    leaf: &mut dyn FnMut(u64) -> Result<Hash, E>,
) -> Result<Option<Vec<Hash>>, E> {
    if old > new {
        return Ok(None);
    }
    if old == 0 || old == new {
        return Ok(Some(Vec::new()));
    }
    let (mut from, mut to, mut path) = (0, new, Vec::new());
    while to != old {
        let middle = from + split(to - from);
        if old <= middle {
            path.push((middle, to));
            to = middle;
        } else {
            path.push((from, middle));
            from = middle;
        }
    }
    // A subtree that is the whole older tree is known to who asks.
    if from > 0 {
        path.push((from, to));
    }
    roots(path, leaf).map(Some)
}

/// RFC 9162 §2.1.3.2: checks that `leaf` is entry `index` of the tree of `size` entries with this `root`.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Beyond { found: index, size });
    }
    let (mut number, mut last, mut hash, mut expected) = (index, size - 1, *leaf, 0);
    let mut hashes = proof.iter();
    while last > 0 {
        // A node without a sibling is passed up as it is.
        if number & 1 == 1 || number < last {
            expected += 1;
            if let Some(sibling) = hashes.next() {
                hash = match number & 1 {
                    1 => Hash::of_node(sibling, &hash),
                    _ => Hash::of_node(&hash, sibling),
                };
            }
        }
        (number, last) = (number >> 1, last >> 1);
    }
    length(proof, expected)?;
    leads_to("whole", hash, root)
}

/// RFC 9162 §2.1.4.2: checks that the tree of `old` entries is the beginning of that of `new` entries.
pub fn verify_consistency(
    (old, old_root): (u64, &Hash),
    (new, new_root): (u64, &Hash),
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::Beyond { found: old, size: new });
    }
    if old == 0 || old == new {
        length(proof, 0)?;
        let expected = if old == new { *new_root } else { Hash::of_empty() };
        return leads_to("older", expected, old_root);
    }
    // Up to the largest subtree that ends where the older tree ends.
    let level = old.trailing_zeros();
    let (mut number, mut last) = ((old - 1) >> level, (new - 1) >> level);
    let mut hashes = proof.iter();
    let mut expected = 0;
    let start = if number == 0 {
        *old_root // a perfect older tree is a subtree of the newer
    } else {
        expected += 1;
        hashes.next().copied().unwrap_or(*old_root)
    };
    let (mut older, mut newer) = (start, start);
    while last > 0 {
        if number & 1 == 1 || number < last {
            expected += 1;
            if let Some(sibling) = hashes.next() {
                if number & 1 == 1 {
                    older = Hash::of_node(sibling, &older);
                    newer = Hash::of_node(sibling, &newer);
                } else {
                    newer = Hash::of_node(&newer, sibling);
                }
            }
        }
        (number, last) = (number >> 1, last >> 1);
    }
    length(proof, expected)?;
    leads_to("older", older, old_root)?;
    leads_to("newer", newer, new_root)
}

/// Most hashes any proof has: one for each level of 2^64 entries, and the one a consistency proof begins with.
pub const MAX_PROOF: usize = 65;

fn length(proof: &[Hash], expected: usize) -> Result<(), ProofError> {
    if proof.len() == expected { Ok(()) } else { Err(ProofError::Length { found: proof.len(), expected }) }
}

fn leads_to(which: &'static str, found: Hash, expected: &Hash) -> Result<(), ProofError> {
    if found == *expected { Ok(()) } else { Err(ProofError::Root { which, found, expected: *expected }) }
}

/// The largest power of two below `size`, which is at least 2 (RFC 9162 §2.1.1, `k`).
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// The roots of these ranges of leaves, lowest in the tree first.
fn roots<E>(path: Vec<(u64, u64)>, leaf: &mut dyn FnMut(u64) -> Result<Hash, E>) -> Result<Vec<Hash>, E> {
    let root = |(from, to): (u64, u64)| {
        let mut range = Range::default();
        for index in from..to {
            range.push(leaf(index)?);
        }
        Ok(range.root())
    };
    path.into_iter().rev().map(root).collect()
}

#[cfg(test)]
mod tests;
