use std::convert::Infallible;

use proptest::prelude::*;

use super::*;

// The reference tree of Certificate Transparency: `kInputs`, `kSHA256Roots`, `kSHA256Paths` and `kSHA256Proofs` in
// cpp/merkletree/merkle_tree_test.cc of github.com/google/certificate-transparency, whose leaves count from 1.
const INPUTS: [&[u8]; 8] = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
];
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];
/// Index, size, path.
const PATHS: [(u64, u64, &[&str]); 5] = [
    (0, 1, &[]),
    (
        0,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        &[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        &[
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];
/// Older size, newer size, proof.
const PROOFS: [(u64, u64, &[&str]); 4] = [
    (1, 1, &[]),
    (
        1,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        &[
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

fn hash(hex: &str) -> Hash {
    Hash::from_hex(hex).unwrap()
}

fn hashes(hex: &[&str]) -> Vec<Hash> {
    hex.iter().map(|h| hash(h)).collect()
}

fn source(leaves: &[Hash]) -> impl FnMut(u64) -> Result<Hash, Infallible> + '_ {
    |index| Ok(leaves[index as usize])
}

#[test]
fn the_reference_tree_has_its_published_roots_and_proofs() {
    let leaves: Vec<Hash> = INPUTS.map(Hash::of_leaf).to_vec();
    let mut range = Range::default();
    assert_eq!(range.root(), hash(EMPTY));
    for (leaf, root) in leaves.iter().zip(ROOTS) {
        range.push(*leaf);
        assert_eq!(range.root(), hash(root));
    }
    for (index, size, path) in PATHS {
        let proof = inclusion(index, size, &mut source(&leaves)).unwrap().unwrap();
        assert_eq!(proof, hashes(path), "entry {index} of {size}");
        let root = hash(ROOTS[size as usize - 1]);
        assert_eq!(verify_inclusion(&leaves[index as usize], index, size, &proof, &root), Ok(()));
    }
    for (old, new, path) in PROOFS {
        let proof = consistency(old, new, &mut source(&leaves)).unwrap().unwrap();
        assert_eq!(proof, hashes(path), "{old} in {new}");
        let (older, newer) = (hash(ROOTS[old as usize - 1]), hash(ROOTS[new as usize - 1]));
        assert_eq!(verify_consistency((old, &older), (new, &newer), &proof), Ok(()));
    }
}

#[test]
fn what_cannot_be_proved_is_refused_by_name() {
    let leaves: Vec<Hash> = INPUTS.map(Hash::of_leaf).to_vec();
    assert_eq!(inclusion(8, 8, &mut source(&leaves)), Ok(None));
    assert_eq!(consistency(9, 8, &mut source(&leaves)), Ok(None));
    let (one, eight, empty) = (hash(ROOTS[0]), hash(ROOTS[7]), hash(EMPTY));
    let beyond = |found, size| Err(ProofError::Beyond { found, size });
    let length = |found, expected| Err(ProofError::Length { found, expected });
    assert_eq!(verify_inclusion(&leaves[0], 0, 0, &[], &empty), beyond(0, 0));
    assert_eq!(verify_inclusion(&leaves[0], 8, 8, &[], &eight), beyond(8, 8));
    assert_eq!(verify_inclusion(&leaves[0], 0, 8, &[one; 4], &eight), length(4, 3));
    assert_eq!(verify_consistency((8, &eight), (1, &one), &[]), beyond(8, 1));
    assert_eq!(verify_consistency((1, &one), (8, &eight), &[]), length(0, 3));
    assert_eq!(verify_consistency((1, &one), (1, &one), &[one]), length(1, 0));
    assert_eq!(verify_consistency((0, &empty), (8, &eight), &[]), Ok(()));
    let wrong = Err(ProofError::Root { which: "older", found: eight, expected: one });
    assert_eq!(verify_consistency((8, &one), (8, &eight), &[]), wrong);
}

#[test]
fn a_hash_reads_back_in_one_form_only() {
    let one = hash(ROOTS[0]);
    assert_eq!(Hash::from_base64(&one.to_base64()), Some(one));
    for bad in [
        "",
        "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0",
        "bjQLnP-zepicpUTmu3gKLHiQHT-zNzh2hRGjBhevoB0=",
        "AAAA",
    ] {
        assert_eq!(Hash::from_base64(bad), None, "{bad}");
    }
}

// RFC 9162 §2.1.1, §2.1.3.1 and §2.1.4.1 as they are written: from the whole list, by recursion.

fn naive_split(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::of_empty(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(naive_split(leaves.len()));
            Hash::of_node(&naive_root(left), &naive_root(right))
        }
    }
}

fn naive_path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(naive_split(leaves.len()));
    let (mut path, other) = match m.checked_sub(left.len()) {
        None => (naive_path(m, left), right),
        Some(m) => (naive_path(m, right), left),
    };
    path.push(naive_root(other));
    path
}

fn naive_subproof(m: usize, leaves: &[Hash], known: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if known { Vec::new() } else { vec![naive_root(leaves)] };
    }
    let (left, right) = leaves.split_at(naive_split(leaves.len()));
    let (mut path, other) = match m.checked_sub(left.len()) {
        None | Some(0) => (naive_subproof(m, left, known), right),
        Some(m) => (naive_subproof(m, right, false), left),
    };
    path.push(naive_root(other));
    path
}

fn tree(size: usize) -> Vec<Hash> {
    (0..size).map(|i| Hash::of_leaf(&i.to_be_bytes())).collect()
}

proptest! {
    #[test]
    fn roots_and_proofs_are_those_of_the_naive_definition(size in 1usize..300, a in any::<u16>(), b in any::<u16>()) {
        let leaves = tree(size);
        let mut range = Range::default();
        leaves.iter().for_each(|leaf| range.push(*leaf));
        let root = naive_root(&leaves);
        prop_assert_eq!((range.size(), range.root()), (size as u64, root));
        prop_assert_eq!(range.nodes.len() as u32, (size as u64).count_ones());

        let index = usize::from(a) % size;
        let proof = inclusion(index as u64, size as u64, &mut source(&leaves)).unwrap().unwrap();
        prop_assert_eq!(&proof, &naive_path(index, &leaves));
        prop_assert_eq!(verify_inclusion(&leaves[index], index as u64, size as u64, &proof, &root), Ok(()));

        let old = 1 + usize::from(b) % size;
        let older = naive_root(&leaves[..old]);
        let proof = consistency(old as u64, size as u64, &mut source(&leaves)).unwrap().unwrap();
        prop_assert_eq!(&proof, &naive_subproof(old, &leaves, true));
        prop_assert_eq!(verify_consistency((old as u64, &older), (size as u64, &root), &proof), Ok(()));
    }

    #[test]
    fn a_proof_changed_anywhere_does_not_hold(
        size in 2usize..200, a in any::<u16>(), at in any::<prop::sample::Index>(), bit in 0usize..256,
    ) {
        let leaves = tree(size);
        let root = naive_root(&leaves);
        let index = usize::from(a) % size;
        let (n, all) = (index as u64, size as u64);
        let good = naive_path(index, &leaves);
        let mut proof = good.clone();
        proof[at.index(good.len())].0[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(verify_inclusion(&leaves[index], n, all, &proof, &root).is_err());
        prop_assert!(verify_inclusion(&leaves[index], n ^ 1, all, &good, &root).is_err());
        prop_assert!(verify_inclusion(&leaves[index], n, all, &good[1..], &root).is_err());

        let old = 1 + usize::from(a) % (size - 1);
        let older = naive_root(&leaves[..old]);
        let good = naive_subproof(old, &leaves, true);
        let mut proof = good.clone();
        proof[at.index(good.len())].0[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(verify_consistency((old as u64, &older), (all, &root), &proof).is_err());
        prop_assert!(verify_consistency((old as u64, &root), (all, &root), &good).is_err());
        prop_assert!(verify_consistency((old as u64, &older), (all, &older), &good).is_err());
    }
}
