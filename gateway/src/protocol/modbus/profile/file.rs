//! Profile files: TOML as typed, and the checks that make a [`Profile`] of it.

use std::time::Duration;

use serde::Deserialize;

use super::{
    Data, Flash, Identity, MAX_FILE_DATA, MAX_IMAGE, MAX_REGISTER_DATA, NoReturn, Padding, Profile,
    ProfileError, Role, StagedRead, Status, Timing, Value, Way, WriteStep,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: u32,
    id: String,
    title: String,
    /// Where the registers were published; shown, never used.
    #[serde(rename = "source")]
    _source: String,
    flash: Flash,
    ways: Vec<FileWay>,
    max_image: u64,
    #[serde(default)]
    word_order: WordOrder,
    #[serde(default)]
    padding: u8,
    point_of_no_return: NoReturn,
    data: FileData,
    #[serde(default, rename = "step")]
    steps: Vec<FileStep>,
    status: Option<Status>,
    #[serde(default, rename = "staged_read")]
    staged_reads: Vec<StagedRead>,
    identity: Identity,
    #[serde(default)]
    protected: Vec<[u16; 2]>,
    timing: FileTiming,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum FileWay {
    Match,
    Stage,
}

#[derive(Deserialize, Default, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum WordOrder {
    #[default]
    Big,
    Swapped,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, tag = "shape")]
enum FileData {
    FileRecord { first_file: u16, records_per_file: u16 },
    FixedWindow { register: u16, block: u16, head: Option<Head> },
    BlockNumber { register: u16, block: u16, first: u16 },
    OffsetWindow { register: u16, window: u16 },
    Linear { register: u16, len: u32 },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    register: u16,
    bytes: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileStep {
    name: String,
    role: Role,
    register: u16,
    values: Vec<FileValue>,
    #[serde(default)]
    settle_ms: u64,
    #[serde(default)]
    silent: bool,
    #[serde(default)]
    alternative: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum FileValue {
    Number(u16),
    Word(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileTiming {
    tool_ms: u64,
    idle_ms: u64,
    block_ms: u64,
    commit_ms: u64,
    boot_ms: u64,
    #[serde(default)]
    gap_ms: u64,
}

/// Longest profile file read.
const MAX_FILE: usize = 64 << 10;
/// Longest time a profile may name: a day.
const MAX_MS: u64 = 86_400_000;

pub(super) fn parse(text: &str) -> Result<Profile, ProfileError> {
    if text.len() > MAX_FILE {
        return bad(format!("{} bytes; a profile has at most {MAX_FILE}", text.len()));
    }
    let file: File = toml::from_str(text).map_err(|e| ProfileError(e.to_string().trim_end().to_string()))?;
    if file.schema != 1 {
        return bad(format!("schema {}, this version reads schema 1", file.schema));
    }
    let granule = granule(&file.data);
    let profile = Profile {
        id: file.id,
        title: file.title,
        flash: file.flash,
        ways: file
            .ways
            .iter()
            .map(|w| match w {
                FileWay::Match => Way::Match,
                FileWay::Stage => Way::Stage,
            })
            .collect(),
        max_image: file.max_image,
        swapped: file.word_order == WordOrder::Swapped,
        padding: Padding { byte: file.padding, granule },
        no_return: file.point_of_no_return,
        data: data(file.data),
        steps: file.steps.into_iter().map(step).collect::<Result<_, _>>()?,
        status: file.status,
        staged_reads: file.staged_reads,
        identity: file.identity,
        protected: file
            .protected
            .iter()
            .map(|[first, last]| u32::from(*first)..u32::from(*last) + 1)
            .collect(),
        timing: timing(&file.timing)?,
    };
    check(&profile)?;
    Ok(profile)
}

fn check(p: &Profile) -> Result<(), ProfileError> {
    let name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if p.id.is_empty() || p.id.len() > 64 || !p.id.chars().all(name) {
        return bad(format!("id {:?}: use 1 to 64 letters, digits, '-' and '.'", p.id));
    }
    if p.ways.is_empty() {
        return bad("ways is empty: name \"match\", \"stage\" or both".into());
    }
    if p.max_image == 0 || p.max_image > MAX_IMAGE {
        return bad(format!("max_image {}: use 1 to {MAX_IMAGE} bytes", p.max_image));
    }
    check_ways(p)?;
    check_data(p)?;
    check_steps(p)?;
    if p.protected.iter().any(std::ops::Range::is_empty) {
        return bad("protected: write [first, last] with first <= last".into());
    }
    match p.identity {
        Identity::Registers { count: 0 | 126.., .. } => bad("identity: count must be 1 to 125".into()),
        _ if p.staged_reads.iter().any(|r| r.values.is_empty() || r.values.len() > 125) => {
            bad("staged_read: give 1 to 125 values".into())
        }
        _ => Ok(()),
    }
}

fn check_ways(p: &Profile) -> Result<(), ProfileError> {
    if !p.ways.contains(&Way::Match) {
        return Ok(());
    }
    if p.flash != Flash::DualBank {
        return bad("way \"match\" needs flash = \"dual-bank\": a refused transfer would leave the controller half written".into());
    }
    if matches!(p.data, Data::FixedWindow { .. }) {
        return bad(
            "way \"match\" cannot use a fixed window: after a lost reply nobody knows which block is next"
                .into(),
        );
    }
    if p.commits_implicitly() {
        return bad(
            "way \"match\" needs a commit step: without one the gateway cannot hold the image back".into()
        );
    }
    Ok(())
}

fn check_data(p: &Profile) -> Result<(), ProfileError> {
    let even = |what: &str, n: u32, max: u32| match n {
        0 => bad(format!("data: {what} is 0")),
        n if n % 2 == 1 || n > max => bad(format!("data: {what} {n} must be even and at most {max}")),
        _ => Ok(()),
    };
    match &p.data {
        Data::FileRecord { first_file: 0, .. } => bad("data: first_file must be 1 or more".into()),
        Data::FileRecord { first_file, records_per_file } => {
            if !(1..=10_000).contains(records_per_file) {
                return bad(format!("data: records_per_file {records_per_file} must be 1 to 10000"));
            }
            let room = (65_536 - u64::from(*first_file)) * u64::from(*records_per_file) * 2;
            if room >= p.max_image { Ok(()) } else { bad("data: the files do not hold max_image".into()) }
        }
        Data::FixedWindow { block, head, .. } => {
            even("block", (*block).into(), MAX_REGISTER_DATA.into())?;
            head.map_or(Ok(()), |(_, bytes)| even("head", bytes.into(), MAX_REGISTER_DATA.into()))
        }
        Data::Block { block, .. } => even("block", (*block).into(), 4096),
        Data::Offset { window, .. } => even("window", (*window).into(), MAX_REGISTER_DATA.into()),
        Data::Linear { len, .. } => {
            even("len", *len, 131_072)?;
            if u64::from(*len) >= p.max_image { Ok(()) } else { bad("data: len is below max_image".into()) }
        }
    }?;
    match p.windows().iter().find(|w| w.end > 65_536) {
        Some(w) => bad(format!("data: the window at {} runs past register 65535", w.start)),
        None => Ok(()),
    }
}

fn check_steps(p: &Profile) -> Result<(), ProfileError> {
    for (i, step) in p.steps.iter().enumerate() {
        if step.values.is_empty() || step.values.len() > 16 || step.span().end > 65_536 {
            return bad(format!("step {:?}: give 1 to 16 values that end by register 65535", step.name));
        }
        if p.steps[..i].iter().any(|s| s.name == step.name) {
            return bad(format!("step {:?} appears twice", step.name));
        }
        if p.steps[..i]
            .iter()
            .any(|s| s.register == step.register && s.values == step.values && s.role != Role::Open)
        {
            return bad(format!("step {:?} writes the same as an earlier step", step.name));
        }
    }
    let selects = |v: Value| p.steps(Role::Select).any(|s| s.values.contains(&v));
    match p.data {
        Data::Block { .. } if !selects(Value::Block) => {
            bad("shape block-number needs a select step with \"block\"".into())
        }
        Data::Offset { .. } if !selects(Value::OffsetLow) => {
            bad("shape offset-window needs a select step with \"offset-low\"".into())
        }
        _ if p.no_return == NoReturn::Open && p.steps(Role::Open).next().is_none() => {
            bad("point_of_no_return is \"open\", but no step opens".into())
        }
        _ => Ok(()),
    }
}

fn step(raw: FileStep) -> Result<WriteStep, ProfileError> {
    let name = raw.name;
    let value = |v: FileValue| match v {
        FileValue::Number(n) => Ok(Value::Exact(n)),
        FileValue::Word(w) => match w.as_str() {
            "any" => Ok(Value::Any),
            "length-high" => Ok(Value::LengthHigh),
            "length-low" => Ok(Value::LengthLow),
            "block" => Ok(Value::Block),
            "offset-high" => Ok(Value::OffsetHigh),
            "offset-low" => Ok(Value::OffsetLow),
            _ => bad(format!(
                "step {name:?}: value {w:?}; use a number, any, length-high, length-low, block, offset-high or offset-low"
            )),
        },
    };
    let values = raw.values.into_iter().map(value).collect::<Result<_, _>>()?;
    let settle = millis("settle_ms", raw.settle_ms)?;
    Ok(WriteStep {
        role: raw.role,
        register: raw.register,
        values,
        settle,
        silent: raw.silent,
        alternative: raw.alternative,
        name,
    })
}

fn data(raw: FileData) -> Data {
    match raw {
        FileData::FileRecord { first_file, records_per_file } => {
            Data::FileRecord { first_file, records_per_file }
        }
        FileData::FixedWindow { register, block, head } => {
            Data::FixedWindow { register, block, head: head.map(|h| (h.register, h.bytes)) }
        }
        FileData::BlockNumber { register, block, first } => Data::Block { register, block, first },
        FileData::OffsetWindow { register, window } => Data::Offset { register, window },
        FileData::Linear { register, len } => Data::Linear { register, len },
    }
}

/// The unit a tool fills up: its block, or one word where blocks have no fixed size.
fn granule(data: &FileData) -> u64 {
    match data {
        FileData::FileRecord { .. } => u64::from(MAX_FILE_DATA),
        FileData::FixedWindow { block, .. } | FileData::BlockNumber { block, .. } => u64::from(*block),
        FileData::OffsetWindow { window, .. } => u64::from(*window),
        FileData::Linear { .. } => u64::from(MAX_REGISTER_DATA),
    }
}

fn timing(raw: &FileTiming) -> Result<Timing, ProfileError> {
    Ok(Timing {
        tool: millis("tool_ms", raw.tool_ms)?,
        idle: millis("idle_ms", raw.idle_ms)?,
        block: millis("block_ms", raw.block_ms)?,
        commit: millis("commit_ms", raw.commit_ms)?,
        boot: millis("boot_ms", raw.boot_ms)?,
        gap: millis("gap_ms", raw.gap_ms)?,
    })
}

fn millis(what: &str, ms: u64) -> Result<Duration, ProfileError> {
    if ms <= MAX_MS { Ok(Duration::from_millis(ms)) } else { bad(format!("{what} {ms}: at most {MAX_MS}")) }
}

fn bad<T>(what: String) -> Result<T, ProfileError> {
    Err(ProfileError(what))
}
