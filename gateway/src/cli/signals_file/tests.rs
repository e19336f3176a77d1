use clap::Parser;
use tempfile::TempDir;

use super::super::{Cli, Context, Said, run_verb};
use super::*;

/// Runs a command line; files in it are those of `folder`.
pub(super) fn run(folder: &TempDir, line: &str) -> Result<(String, serde_json::Value), Failure> {
    let place = |word: &str| folder.path().join(word).display().to_string();
    let is_file = |w: &str| [".csv", ".wav", ".svg", ".png", ".pdf"].iter().any(|end| w.ends_with(end));
    let words = line.split(' ').map(|w| if is_file(w) { place(w) } else { w.into() });
    let cli = Cli::try_parse_from(["headgate".into(), "signals".into()].into_iter().chain(words)).unwrap();
    let context = Context { config: "no-such-file.toml".into(), json: cli.json };
    match run_verb(&context, cli.verb)? {
        Said::Words(words, value) => Ok((words, value)),
        _ => panic!("another answer"),
    }
}

pub(super) fn write(folder: &TempDir, name: &str, bytes: impl AsRef<[u8]>) {
    std::fs::write(folder.path().join(name), bytes).unwrap();
}

/// A small generator, so that records are the same everywhere: 12 uniform numbers make a normal one.
pub(super) fn noise(seed: &mut u64) -> f64 {
    let mut uniform = || {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 33) as f64 / f64::from(1_u32 << 31)
    };
    (0..12).map(|_| uniform()).sum::<f64>() - 6.0
}

/// One value a second from 2026-03-02 06:00 on; 40 minutes in, the shaft runs faster and its report does not.
fn shaft() -> String {
    let mut text = String::from("timestamp,shaft,register\n");
    let mut seed = 7;
    for second in 0..3000 {
        let shaft = 1064.0 + noise(&mut seed);
        let said = shaft + 0.1 * noise(&mut seed);
        let measured = if second < 2400 { shaft } else { shaft + 30.0 };
        let value = if second == 100 { "NaN".into() } else { format!("{measured:.4}") };
        let (minute, second) = (second / 60, second % 60);
        text +=
            &format!("2026-03-02 {:02}:{:02}:{second:02},{value},{said:.4}\n", 6 + minute / 60, minute % 60);
    }
    text
}

/// A tone at 8 kHz, 16-bit mono.
fn wav(hertz: impl Fn(usize) -> f64, samples: usize) -> Vec<u8> {
    let (mut phase, mut seed) = (0.0_f64, 3);
    let mut data = Vec::new();
    for n in 0..samples {
        phase += 2.0 * std::f64::consts::PI * hertz(n) / 8000.0;
        data.extend((((0.5 * phase.sin() + 0.01 * noise(&mut seed)) * 32767.0) as i16).to_le_bytes());
    }
    let size = data.len() as u32;
    let mut out = b"RIFF".to_vec();
    out.extend((36 + size).to_le_bytes());
    out.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    out.extend(8000_u32.to_le_bytes());
    out.extend(16_000_u32.to_le_bytes());
    out.extend(b"\x02\0\x10\0data");
    out.extend(size.to_le_bytes());
    out.extend(data);
    out
}

#[test]
fn what_cannot_be_read_or_judged_is_refused_with_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "empty.csv", "");
    write(&folder, "header.csv", "time,value\n");
    write(&folder, "single.csv", "time,value\n1,5\n");
    write(&folder, "still.csv", "time,value\n1,5\n1,6\n");
    write(&folder, "nan.csv", "time,value\n1,NaN\n2,\n3,text\n");
    write(&folder, "quote.csv", "time,value\n1,\"5\n");
    write(&folder, "binary.csv", b"\xFF\xFE\0\0\n\0");
    write(&folder, "good.csv", "time,value,said\n1,5,\n2,6,\n3,5,\n4,6,\n");
    write(&folder, "short.wav", &wav(|_| 50.0, 100)[..60]);
    write(&folder, "tone.wav", wav(|_| 50.0, 8000));
    let rows = [
        ("replay none.csv", 3, "none.csv"),
        ("replay empty.csv", 2, "the file is empty"),
        ("replay header.csv", 2, "holds no samples"),
        ("replay single.csv", 2, "fewer than two samples"),
        ("replay still.csv", 2, "fewer than two samples"),
        ("replay nan.csv", 2, "no value that can be used"),
        ("replay quote.csv", 2, "quote"),
        ("replay binary.csv", 2, "UTF-8"),
        ("replay good.csv --column flow", 2, "there is no column flow"),
        ("replay good.csv --time-column when", 2, "there is no column when"),
        ("replay good.csv --reported-column flow", 2, "there is no column flow"),
        ("replay good.csv --reported-column said", 2, "said has no value"),
        ("replay good.csv --updates noon", 2, "is no time of this record"),
        ("replay good.csv --updates 5", 2, "is outside the record"),
        ("replay good.csv --updates 0", 2, "is outside the record"),
        ("replay good.csv --learn 3", 2, "--learn"),
        ("replay good.csv --window 0", 2, "--window"),
        ("replay good.csv --window NaN", 2, "--window"),
        ("replay good.csv --window 0.1", 2, "at least 1 can make a reading"),
        ("replay good.csv --measure frequency --window 100000", 2, "64 to 65536 can make a reading"),
        ("replay good.csv --range 5", 2, "--range"),
        ("replay good.csv --range 5,5", 2, "--range"),
        ("replay good.csv --range 5,NaN", 2, "--range"),
        ("replay good.csv --measure frequency", 2, "64 to 65536 can make a reading"),
        ("replay good.csv --false-alarms-per-year 0", 2, "--false-alarms-per-year"),
        ("replay good.csv --nominal 50", 2, "--nominal"),
        ("replay tone.wav --measure mains --nominal 55", 2, "50 or 60"),
        ("replay tone.wav --measure mains --window 1", 2, "--window"),
        ("replay tone.wav --column left", 2, "number of the channel"),
        ("replay tone.wav --column 1", 2, "no channel 1"),
        ("replay tone.wav --reported-column said", 2, "no columns"),
        ("replay short.wav", 2, "as many as its header says"),
        ("plot none.csv -o out.png", 3, "none.csv"),
        ("plot good.csv -o out.pdf", 2, "must end in .svg or .png"),
        ("plot good.csv -o out", 2, "must end in .svg or .png"),
        ("plot none.csv -o out.svg", 3, "none.csv"),
        ("plot good.csv -o nowhere/out.svg", 2, "nowhere"),
    ];
    for (line, exit, text) in rows {
        let failure = run(&folder, line).err().unwrap_or_else(|| panic!("{line}: not refused"));
        assert_eq!(failure.exit, exit, "{line}: {}", failure.text);
        assert!(failure.text.contains(text), "{line}: {}", failure.text);
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 10, "a refused plot writes nothing: {left:?}");
}

#[test]
fn a_record_too_short_to_learn_from_is_done_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "good.csv", "time;value\n1;5\n2;6\n3;5\n4;6\n");
    let (words, value) = run(&folder, "replay good.csv").unwrap();
    assert!(words.contains("nothing is judged before it is whole"), "{words}");
    assert!(!words.contains("found "), "it must not say that nothing was found: {words}");
    assert_eq!((value["readings"]["count"].as_u64(), value["schema"].as_u64()), (Some(4), Some(1)));
}

#[test]
fn a_shaft_that_leaves_its_report_behind_is_found_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "shaft.csv", shaft());
    let line = "shaft.csv --reported-column register --unit Hz --learn 1024 --updates 2026-03-02T06:39:00Z";
    let (words, value) = run(&folder, &format!("replay {line}")).unwrap();
    assert!(words.contains("1 bad: not a number"), "{words}");
    let found = value["anomalies"].as_array().unwrap();
    let codes: Vec<&str> = found.iter().map(|a| a["code"].as_str().unwrap()).collect();
    assert!(codes.contains(&"HG-9001") && codes.contains(&"HG-9002"), "{words}");
    for anomaly in found {
        let at = anomaly["found"].as_str().unwrap();
        assert!(("2026-03-02T06:40:00Z".."2026-03-02T06:40:30Z").contains(&at), "{words}");
    }
    assert!(value["updates"][0]["changed"].is_string(), "{words}");
    let mut series: Vec<&str> =
        value["learned"].as_array().unwrap().iter().map(|l| l["series"].as_str().unwrap()).collect();
    // In the order in which they became ready, which the bad value delays for one.
    series.sort_unstable();
    assert_eq!(series, ["measured", "reported", "residual"]);

    let (words, value) = run(&folder, &format!("plot {line} -o out.svg")).unwrap();
    assert!(words.contains("out.svg"), "{words}");
    let picture = std::fs::read_to_string(folder.path().join("out.svg")).unwrap();
    assert_eq!(value["bytes"].as_u64(), Some(picture.len() as u64));
    for text in
        ["shaft.shaft", "value (Hz)", "Residual", "Evidence for a change", "threshold", ">U1<", "HG-9002"]
    {
        assert!(picture.contains(text), "the picture lacks {text}");
    }
    assert!(!picture.contains("NaN"));
    run(&folder, &format!("plot {line} -o again.svg")).unwrap();
    let again = std::fs::read_to_string(folder.path().join("again.svg")).unwrap();
    assert_eq!(picture, again, "the same record gives the same picture");
}

#[test]
fn a_tone_is_measured_in_windows_and_its_spectrum_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let step = |n: usize| if n < 8000 * 70 { 1064.0 } else { 1410.0 };
    write(&folder, "drive.wav", wav(step, 8000 * 80));
    let line = "drive.wav --measure frequency --window 0.1 --learn 512 --nominal 1064";
    let (words, value) = run(&folder, &format!("replay {line}")).unwrap();
    assert_eq!(value["readings"]["count"].as_u64(), Some(800), "{words}");
    let first = &value["anomalies"][0];
    let at: f64 = first["found"].as_str().unwrap().trim_end_matches(" s").parse().unwrap();
    assert!((70.0..71.5).contains(&at), "{words}");
    let median = value["learned"][0]["median"].as_f64().unwrap();
    assert!((median - 1064.0).abs() < 0.5, "{words}");
    run(&folder, &format!("plot {line} -o out.svg")).unwrap();
    let picture = std::fs::read_to_string(folder.path().join("out.svg")).unwrap();
    for text in ["nominal", "frequency (Hz)", "Amplitude spectrum", "while learning", "in alarm"] {
        assert!(picture.contains(text), "the picture lacks {text}");
    }
}

#[test]
fn a_picture_named_png_is_drawn_by_the_real_program() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "shaft.csv", shaft());
    run(&folder, "plot shaft.csv --learn 1024 -o out.svg").unwrap();
    let (_, value) = run(&folder, "plot shaft.csv --learn 1024 -o out.PNG.png").unwrap();
    let picture = std::fs::read(folder.path().join("out.PNG.png")).unwrap();
    assert_eq!(value["bytes"].as_u64(), Some(picture.len() as u64));
    // The size stands in the header, and is twice that of the SVG.
    let number = |at: usize| u32::from_be_bytes(picture[at..at + 4].try_into().unwrap());
    let svg = std::fs::read_to_string(folder.path().join("out.svg")).unwrap();
    assert_eq!((&picture[..8], number(16)), (b"\x89PNG\r\n\x1a\n".as_slice(), 2400));
    assert!(svg.contains(&format!("height=\"{}\"", number(20) / 2)), "{}", number(20));
}

#[test]
fn a_converter_that_is_missing_or_fails_is_named() {
    for (program, svg, text) in [
        ("rsvg-convert-of-nowhere", "<svg/>", "install the Debian package librsvg2-bin"),
        ("rsvg-convert", "no picture", "no picture came of it"),
        ("true", "<svg/>", "no picture came of it"),
    ] {
        let failure = format::png(program, svg.as_bytes()).unwrap_err();
        assert_eq!(failure.exit, 2, "{}", failure.text);
        assert!(failure.text.contains(text) && failure.text.contains(program), "{}", failure.text);
    }
}
