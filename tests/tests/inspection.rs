//! `headgate sbom` on images that other programs made: U-Boot as Debian builds it, file systems of mksquashfs with
//! Debian's own packages in them, streams of xz, zstd, lz4 and cpio; and on what is made to break it.

#![allow(clippy::panic, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use firmware_verifier::Digest;
use firmware_verifier::sbom::Sbom;
use headgate_tests::{IMAGE, headgate};
use serde_json::Value;

fn sbom(args: &[&str]) -> Output {
    Command::new(headgate()).arg("sbom").args(args).output().expect("headgate runs")
}

/// Runs with `--json`; the exit code and what is said.
fn json(image: &Path) -> (Option<i32>, Value) {
    let output = sbom(&[image.to_str().unwrap(), "--json"]);
    let text = String::from_utf8_lossy(&output.stdout);
    (output.status.code(), serde_json::from_str(&text).unwrap_or_else(|e| panic!("JSON alone: {e}: {text}")))
}

/// Name and version of each component.
fn parts(said: &Value) -> Vec<(String, String)> {
    let text = |part: &Value, name: &str| part[name].as_str().unwrap_or_default().to_owned();
    let parts = said["components"].as_array().expect("a list");
    parts.iter().map(|part| (text(part, "name"), text(part, "version"))).collect()
}

fn codes(said: &Value) -> Vec<String> {
    let findings = said["findings"].as_array().expect("a list");
    findings.iter().map(|f| f["code"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Runs a program that has to succeed, in `folder`.
fn run(folder: &Path, line: &str) {
    let output = Command::new("sh").args(["-ec", line]).current_dir(folder).output().expect("a shell");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What dpkg says the version of an installed package is.
fn installed(package: &str) -> String {
    let output =
        Command::new("dpkg-query").args(["-W", "-f", "${Version}", package]).output().expect("dpkg-query");
    assert!(output.status.success(), "{package} is not installed: deploy/setup.sh --test");
    String::from_utf8(output.stdout).unwrap()
}

/// `1:1.2.13.dfsg-1` is `1.2.13` as zlib itself says.
fn upstream(version: &str) -> String {
    let version = version.split_once(':').map_or(version, |(_, v)| v);
    version.split(['-', '+']).next().unwrap_or_default().replace(".dfsg", "")
}

/// A root file system with zlib of this machine, and dpkg's own entry about it.
fn root_fs(folder: &Path) -> PathBuf {
    run(
        folder,
        "mkdir -p root/lib root/var/lib/dpkg root/etc root/bin
         cp -L /usr/lib/*-linux-gnu/libz.so.1 root/lib/
         dpkg-query -s zlib1g > root/var/lib/dpkg/status
         printf 'ID=debian\\nVERSION_ID=\"12\"\\n' > root/etc/os-release
         head -c 300000 /dev/zero > root/etc/zeros
         ln -s ../lib/libz.so.1 root/bin/link",
    );
    folder.join("root")
}

#[test]
fn the_version_of_a_real_u_boot_is_the_one_of_its_package() {
    let (code, said) = json(Path::new(IMAGE));
    assert_eq!((code, codes(&said)), (Some(0), vec![]), "{said}");
    let version = installed("u-boot-qemu");
    assert!(parts(&said).contains(&("u-boot".into(), version.clone())), "{version}: {:?}", parts(&said));
    let uboot = said["components"].as_array().unwrap().iter().find(|c| c["name"] == "u-boot").unwrap();
    let offset = usize::try_from(uboot["occurrences"][0]["offset"].as_u64().unwrap()).unwrap();
    let image = std::fs::read(IMAGE).unwrap();
    assert!(
        image[offset..].starts_with(format!("U-Boot {version} (").as_bytes()),
        "evidence is where it is said"
    );
}

#[test]
fn what_is_written_is_read_again_and_names_exactly_this_image() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("u-boot.cdx.json");
    let args = [IMAGE, "-o", out.to_str().unwrap()];
    let output = sbom(&args);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        table.contains("component") && table.contains("u-boot") && table.contains("written to"),
        "{table}"
    );
    let text = std::fs::read(&out).unwrap();
    let list = Sbom::parse(&text).unwrap();
    let image = list.image().expect("the image");
    assert_eq!(image.sha256, Some(Digest::of(&std::fs::read(IMAGE).unwrap())));
    assert!(list.components().iter().any(|c| c.name == "u-boot" && c.cpe.is_some() && c.purl.is_some()));
    assert_eq!(list.format(), "CycloneDX 1.6");
    assert_eq!(sbom(&args).status.code(), Some(2), "nothing is overwritten");
}

#[test]
fn a_file_system_is_looked_into_whatever_compresses_it() {
    let dir = tempfile::tempdir().unwrap();
    root_fs(dir.path());
    let package = installed("zlib1g");
    for compression in ["gzip", "xz", "zstd", "lz4"] {
        let name = format!("{compression}.img");
        run(dir.path(), &format!("mksquashfs root {name} -comp {compression} -quiet -no-progress -noappend"));
        let image = dir.path().join(&name);
        let (code, said) = json(&image);
        assert_eq!((code, codes(&said)), (Some(0), vec![]), "{compression}: {said}");
        let parts = parts(&said);
        for (name, version) in
            [("zlib", upstream(&package)), ("zlib1g", package.clone()), ("debian", "12".into())]
        {
            assert!(parts.contains(&(name.into(), version)), "{compression}: {name} in {parts:?}");
        }
        // Cut short, and with a bit turned in the tables.
        let whole = std::fs::read(&image).unwrap();
        std::fs::write(&image, &whole[..whole.len() / 2]).unwrap();
        let (code, said) = json(&image);
        let codes = codes(&said);
        assert_eq!(
            (code, codes.is_empty(), codes.iter().all(|c| c == "HG-3046")),
            (Some(30), false, true),
            "{said}"
        );
        for at in (0..whole.len()).step_by(whole.len() / 12 + 1) {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            std::fs::write(&image, changed).unwrap();
            let (code, said) = json(&image);
            assert!(matches!(code, Some(0 | 30)), "{compression}, byte {at}: {said}");
        }
    }
}

#[test]
fn streams_and_archives_of_other_programs_are_unpacked() {
    let dir = tempfile::tempdir().unwrap();
    root_fs(dir.path());
    let zlib = ("zlib".to_owned(), upstream(&installed("zlib1g")));
    run(dir.path(), "tar -C root -cf fs.tar . && (cd root && find . | cpio -o -H newc --quiet) > fs.cpio");
    for (name, line) in [
        ("tar", "cp fs.tar image"),
        ("cpio", "cp fs.cpio image"),
        ("tar in xz", "xz -c fs.tar > image"),
        ("cpio in LZMA", "xz --format=lzma -c fs.cpio > image"),
        ("cpio in zstd", "zstd -q -c fs.cpio > image"),
        ("cpio in lz4", "lz4 -q -c fs.cpio > image"),
        ("cpio in lz4, as kernels have it", "lz4 -q -l -c fs.cpio > image"),
        ("cpio in gzip behind other bytes", "(head -c 5000 /dev/zero; gzip -c fs.cpio) > image"),
    ] {
        run(dir.path(), line);
        let (code, said) = json(&dir.path().join("image"));
        assert_eq!((code, codes(&said)), (Some(0), vec![]), "{name}: {said}");
        assert!(parts(&said).contains(&zlib), "{name}: {:?}", parts(&said));
    }
}

#[test]
fn a_bomb_is_a_finding_and_not_a_fault() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), "head -c 200M /dev/zero | gzip -9 > bomb");
    let (code, said) = json(&dir.path().join("bomb"));
    assert_eq!(code, Some(30), "{said}");
    assert!(codes(&said).contains(&"HG-3045".into()), "{said}");
    assert_eq!(said["whole"], false);
    let words = sbom(&[dir.path().join("bomb").to_str().unwrap()]);
    let words = String::from_utf8_lossy(&words.stdout).into_owned();
    assert!(words.contains("HG-3045") && words.contains("not everything was looked at"), "{words}");
}

#[test]
fn what_is_no_image_is_refused_before_anybody_looks() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty");
    std::fs::write(&empty, b"").unwrap();
    assert_eq!(json(&empty).1["code"], "HG-1040");
    let large = dir.path().join("large");
    std::fs::File::create(&large).unwrap().set_len((64 << 20) + 1).unwrap();
    assert_eq!(json(&large).1["code"], "HG-1041");
    assert_eq!(json(&dir.path().join("none")).0, Some(3));
}
