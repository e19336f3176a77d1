//! Containers are made here, by code or by the encoders of the crates that also decode; real images are looked into by
//! `tests/tests/inspection.rs`.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use proptest::prelude::*;

use super::*;
use crate::reasons;

/// A text of BusyBox, and some bytes around it, so that it packs to something.
fn busybox() -> Vec<u8> {
    let noise: Vec<u8> = (0..6000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    [noise.as_slice(), b"\0BusyBox v1.36.1 (2023-05-19 12:00:00 UTC)\0", noise.as_slice()].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(vec![], Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

fn lz4(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(vec![]);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn lz4_legacy(bytes: &[u8]) -> Vec<u8> {
    let block = lz4_flex::block::compress(bytes);
    [b"\x02\x21\x4c\x18".as_slice(), &(block.len() as u32).to_le_bytes(), &block].concat()
}

fn cpio(entries: &[(&[u8], u32, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    let trailer: (&[u8], u32, &[u8]) = (b"TRAILER!!!", 0, b"");
    for (name, mode, data) in entries.iter().chain([&trailer]) {
        let field = |n: usize| format!("{n:08x}");
        let fields = [1, *mode as usize, 0, 0, 1, 0, data.len(), 0, 0, 0, 0, name.len() + 1, 0];
        out.extend(format!("070701{}", fields.map(field).concat()).bytes());
        out.extend([name, b"\0".as_slice()].concat());
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend_from_slice(data);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

fn tar_entry(name: &[u8], kind: u8, link: &[u8], data: &[u8]) -> Vec<u8> {
    let mut header = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name);
    put(124, format!("{:011o}", data.len()).as_bytes());
    put(148, b"        ");
    put(156, &[kind]);
    put(157, link);
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut entry = [header.as_slice(), data].concat();
    entry.resize(entry.len().next_multiple_of(512), 0);
    entry
}

fn tar(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 1024]].concat()
}

fn uimage(data: &[u8]) -> Vec<u8> {
    let sum = |bytes: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum().to_be_bytes()
    };
    let mut header = [0; 64];
    header[..4].copy_from_slice(b"\x27\x05\x19\x56");
    header[12..16].copy_from_slice(&(data.len() as u32).to_be_bytes());
    header[24..28].copy_from_slice(&sum(data));
    header[32..38].copy_from_slice(b"kernel");
    let own = sum(&header);
    header[4..8].copy_from_slice(&own);
    [header.as_slice(), data].concat()
}

fn ihex(bytes: &[u8]) -> Vec<u8> {
    let record = |bytes: &[u8]| {
        let sum = bytes.iter().fold(0_u8, |sum, b| sum.wrapping_sub(*b));
        let hex: String = bytes.iter().chain([&sum]).map(|b| format!("{b:02X}")).collect();
        format!(":{hex}\r\n")
    };
    let mut text = String::new();
    for (n, chunk) in bytes.chunks(32).enumerate() {
        let at = (n * 32) as u16;
        text += &record(&[&[chunk.len() as u8], at.to_be_bytes().as_slice(), &[0], chunk].concat());
    }
    (text + ":00000001FF\r\n").into_bytes()
}

fn srec(bytes: &[u8]) -> Vec<u8> {
    let mut text = String::new();
    for (n, chunk) in bytes.chunks(16).enumerate() {
        let at = (n * 16) as u32;
        let body = [&[chunk.len() as u8 + 5], at.to_be_bytes().as_slice(), chunk].concat();
        let sum = !body.iter().fold(0_u8, |sum, b| sum.wrapping_add(*b));
        let hex: String = body.iter().chain([&sum]).map(|b| format!("{b:02X}")).collect();
        text += &format!("S3{hex}\n");
    }
    (text + "S70500000000FA\n").into_bytes()
}

/// A tree with one image, whose data is in it.
fn fit(data: &[u8]) -> Vec<u8> {
    let word = |n: u32| n.to_be_bytes().to_vec();
    let begin = |name: &[u8]| {
        let mut node = [word(1), name.to_vec(), vec![0]].concat();
        node.resize(node.len().next_multiple_of(4), 0);
        node
    };
    let mut property = [word(3), word(data.len() as u32), word(0), data.to_vec()].concat();
    property.resize(property.len().next_multiple_of(4), 0);
    let tree = [begin(b""), begin(b"images"), begin(b"kernel"), property, word(2), word(2), word(2), word(9)];
    let tree = tree.concat();
    let strings = b"data\0";
    let (start, end) = (40, 40 + tree.len());
    let total = end + strings.len();
    let numbers = [
        0xd00d_feed,
        total as u32,
        start,
        end as u32,
        40,
        17,
        16,
        0,
        strings.len() as u32,
        tree.len() as u32,
    ];
    [numbers.map(word).concat(), tree, strings.to_vec()].concat()
}

type Pack = fn(&[u8]) -> Vec<u8>;

const PACKED: &[(&str, Pack)] = &[
    ("gzip", gzip),
    ("zlib", zlib),
    ("zstd", zstd),
    ("lz4", lz4),
    ("lz4-legacy", lz4_legacy),
    ("cpio", |b| cpio(&[(b"bin/busybox", 0o100_755, b)])),
    ("tar", |b| tar(&[tar_entry(b"bin/busybox", b'0', b"", b)])),
    ("uimage", uimage),
    ("ihex", ihex),
    ("srec", srec),
    ("fdt", fit),
];

fn look(image: &[u8]) -> Report {
    inspect(image, &Limits::USUAL)
}

fn names(report: &Report) -> Vec<(&str, Option<&str>)> {
    report.components.iter().map(|c| (c.name.as_str(), c.version.as_deref())).collect()
}

#[test]
fn what_is_damaged_or_cut_short_is_told_and_what_came_before_is_looked_at() {
    for (name, pack) in PACKED {
        let packed = pack(&busybox());
        let cut = look(&packed[..packed.len() / 4 * 3]);
        let damaged = cut.findings.iter().any(|f| f.code == reasons::CONTAINER_DAMAGED && f.leaves_out);
        // The legacy form of LZ4 has no end of its own, and Intel HEX none but a line.
        assert!(damaged || *name == "lz4-legacy", "{name}: {:?}", cut.findings);
        assert!(!cut.is_whole() || *name == "lz4-legacy");
    }
}

#[test]
fn a_component_is_found_through_every_kind_of_container() {
    for (name, pack) in PACKED {
        let report = look(&pack(&busybox()));
        assert_eq!(names(&report), [("busybox", Some("1.36.1"))], "{name}: {report:?}");
        assert!(report.components[0].occurrences[0].place.starts_with(&format!("{name}@0x0")), "{report:?}");
        assert!(report.findings.is_empty(), "{name}: {:?}", report.findings);
        let within = [vec![0xff; 4096], gzip(&pack(&busybox())), vec![0; 100]].concat();
        let report = look(&within);
        assert_eq!(names(&report), [("busybox", Some("1.36.1"))], "{name} in gzip at 0x1000");
        assert!(report.components[0].occurrences[0].place.starts_with("gzip@0x1000 > "), "{report:?}");
    }
}

#[test]
fn a_bomb_ends_at_a_limit() {
    let limits = Limits { item: 32 << 20, total: 48 << 20, ..Limits::USUAL };
    let bomb = gzip(&vec![0; 40 << 20]);
    let report = inspect(&bomb, &limits);
    assert!(report.findings.iter().any(|f| f.code == reasons::UNPACKS_TO_TOO_MUCH && f.leaves_out));
    let many = gzip(&vec![0; 30 << 20]).repeat(4);
    let report = inspect(&many, &limits);
    assert!(
        report.findings.iter().any(|f| f.text.contains("nothing more was unpacked")),
        "{:?}",
        report.findings
    );
    assert!(report.unpacked <= (48 << 20) + (16 << 10), "{}", report.unpacked);
    let nested = (0..12).fold(busybox(), |inner, _| gzip(&inner));
    let report = look(&nested);
    assert!(report.findings.iter().any(|f| f.text.contains("more than 8 deep")), "{:?}", report.findings);
}

#[test]
fn a_million_entries_are_not_gone_through() {
    for (name, image) in [
        ("cpio", {
            let one = cpio(&[(b"f", 0o100_644, b"")]);
            one[..one.len() - 124].repeat(1_000_000)
        }),
        ("tar", tar_entry(b"f", b'0', b"", b"").repeat(250_000)),
    ] {
        let report = look(&image);
        let told = report.findings.iter().any(|f| f.text.contains("more than 200000 files"));
        assert!(told && !report.is_whole(), "{name}: {:?}", report.findings);
        assert!(report.entries <= 200_001);
    }
}

#[test]
fn names_that_lead_out_are_told_and_what_they_name_is_looked_at() {
    let cases: [(&str, Vec<u8>); 6] = [
        ("a way up in cpio", cpio(&[(b"../../etc/x", 0o100_644, &busybox())])),
        ("the root in tar", tar(&[tar_entry(b"/etc/x", b'0', b"", &busybox())])),
        ("a way up in tar", tar(&[tar_entry(b"a/../../x", b'0', b"", &busybox())])),
        (
            "a link, and a file through it",
            tar(&[tar_entry(b"./lib", b'2', b"/etc", b""), tar_entry(b"lib/x", b'0', b"", &busybox())]),
        ),
        (
            "a link that leads out",
            tar(&[tar_entry(b"a/b", b'2', b"../../x", b""), tar_entry(b"c", b'0', b"", &busybox())]),
        ),
        ("the same in cpio", cpio(&[(b"a", 0o120_777, b"../x"), (b"c", 0o100_644, &busybox())])),
    ];
    for (what, image) in cases {
        let report = look(&image);
        let codes: Vec<_> = report.findings.iter().map(|f| f.code).collect();
        assert_eq!(codes, [reasons::NAME_LEADS_OUT], "{what}: {:?}", report.findings);
        assert_eq!(names(&report), [("busybox", Some("1.36.1"))], "{what}");
    }
    let usual =
        tar(&[tar_entry(b"bin/sh", b'2', b"busybox", b""), tar_entry(b"etc/x", b'2', b"/tmp/x", b"")]);
    assert_eq!(look(&usual).findings, []);
}

#[test]
fn only_whole_texts_make_a_component() {
    let kernel = "Linux version 5.10.27-rt36 (build@acme) (gcc 10.2) #1 SMP PREEMPT_RT Tue Mar 30\n";
    for (text, expected) in [
        (kernel, Some(("linux", "5.10.27-rt36"))),
        ("requires Linux version 5.10.27 or later\n", None),
        ("Linux version %s (", None),
        ("XBusyBox v1.36.1 (2023", None),
        ("BusyBox v1.36.1 multi-call", None),
        ("OpenSSL 1.1.1n  15 Mar 2022\0", Some(("openssl", "1.1.1n"))),
        ("OpenSSL 1.1.1 or later is needed\0", None),
        (
            "U-Boot 2023.01+dfsg-2+deb12u3 (Jun 22 2026 - 08:38:29 +0000)\0",
            Some(("u-boot", "2023.01+dfsg-2+deb12u3")),
        ),
        ("see U-Boot 2023.01 documentation", None),
        (" deflate 1.2.13 Copyright 1995-2022 Jean-loup", Some(("zlib", "1.2.13"))),
        ("SSH-2.0-dropbear_2022.83\r\n", Some(("dropbear", "2022.83"))),
        ("Mbed TLS 3.4.0\0", Some(("mbedtls", "3.4.0"))),
        ("*** Booting Zephyr OS build v3.4.0 ***\n", Some(("zephyr", "3.4.0"))),
    ] {
        let image = format!("\0\u{1}{text}");
        let report = look(image.as_bytes());
        let expected: Vec<_> = expected.into_iter().map(|(n, v)| (n, Some(v))).collect();
        assert_eq!(names(&report), expected, "{text:?}");
        if let Some(found) = report.components.first() {
            assert!(found.cpe.as_ref().is_none_or(|cpe| cpe.split(':').count() == 13), "{found:?}");
        }
    }
    let report = look(b"\0OpenSSH_9.2p1 Debian-2+deb12u3, \0");
    assert_eq!(report.components[0].cpe.as_deref(), Some("cpe:2.3:a:openbsd:openssh:9.2:p1:*:*:*:*:*:*"));
}

#[test]
fn every_signature_says_where_its_text_is_made_and_is_known_by_a_long_enough_one() {
    for s in SIGNATURES {
        assert!(s.source.len() > 8 && (30..=99).contains(&s.confidence), "{s:?}");
        assert!(s.before.len() >= 3 && s.cpe.is_none_or(|cpe| cpe.split(':').count() == 3), "{s:?}");
    }
    let mut products: Vec<&str> = SIGNATURES.iter().map(|s| s.name).collect();
    products.dedup();
    assert!(products.len() > 60, "{}", products.len());
}

#[test]
fn packages_are_of_the_system_that_their_file_system_is() {
    let status =
        b"Package: busybox\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:1.35.0-4+b3\n\n\
        Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: a\nVersion: \x1b[2J\n";
    let files: [(&[u8], u32, &[u8]); 2] = [
        (b"var/lib/dpkg/status", 0o100_644, status),
        (b"etc/os-release", 0o100_644, b"NAME=x\nID=debian\nVERSION_ID=\"12\"\n"),
    ];
    let report = look(&cpio(&files));
    assert_eq!(names(&report), [("busybox", Some("1:1.35.0-4+b3")), ("debian", Some("12"))]);
    let purl = report.components[0].purl.as_deref();
    assert_eq!(purl, Some("pkg:deb/debian/busybox@1:1.35.0-4%2Bb3?arch=amd64&distro=debian-12"));
    let opkg = cpio(&[(b"./usr/lib/opkg/status", 0o100_644, b"Package: uhttpd\nVersion: 2023-06\n")]);
    let found = look(&opkg).components.remove(0);
    assert_eq!(found.purl.as_deref(), Some("pkg:opkg/openwrt/uhttpd@2023-06"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 48 } else { 1000 }))]

    #[test]
    fn a_changed_image_is_looked_into_within_the_limits(
        kind in 0..PACKED.len(), at in any::<prop::sample::Index>(), bit in 0..8, cut in any::<prop::sample::Index>(),
    ) {
        let mut image = PACKED[kind].1(&busybox());
        let at = at.index(image.len());
        image[at] ^= 1_u8 << bit;
        image.truncate(cut.index(image.len()) + 1);
        let limits = Limits { total: 1 << 20, item: 1 << 20, ..Limits::USUAL };
        let report = inspect(&image, &limits);
        prop_assert!(report.unpacked <= (1 << 20) + (16 << 10));
    }

    #[test]
    fn any_bytes_are_looked_into(bytes in prop::collection::vec(any::<u8>(), 0..4000), kind in 0..PACKED.len()) {
        look(&bytes);
        let start = PACKED[kind].1(b"x");
        look(&[start.get(..40).unwrap_or(&start), &bytes].concat());
    }
}
