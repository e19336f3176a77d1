//! One IIO device in sysfs: its channels, one value on request, and how its buffer is set up.

use std::time::Duration;

use super::scan::{Element, Layout};
use super::stream::{Scaling, Stream};
use crate::sensor::{Measure, Quality, SourceError, Tree};

/// A directory `iio:deviceN`.
#[derive(Debug, Clone)]
pub struct Device {
    tree: Tree,
}

/// What a buffer is to hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Channels by the name before `_raw`, e.g. `in_voltage0`; every other one is switched off.
    pub channels: Vec<String>,
    /// Samples per second; left as it is when `None`.
    pub frequency: Option<f64>,
    /// Records the kernel keeps until they are read.
    pub length: u32,
    /// From the interface's unit to the channels', e.g. 0.001 for volts out of millivolts.
    pub factor: f64,
}

impl Device {
    /// The device at `dir`, an absolute directory such as `/sys/bus/iio/devices/iio:device0`.
    pub fn at(dir: impl Into<std::path::PathBuf>) -> Device {
        Device { tree: Tree::new(dir) }
    }

    /// The devices below `root` whose `name` attribute is `name`, in the order of their directories.
    ///
    /// # Errors
    /// [`SourceError`] when a directory cannot be read.
    pub fn find(root: &Tree, name: &str) -> Result<Vec<(String, Device)>, SourceError> {
        let mut found = Vec::new();
        for dir in root.names("")?.into_iter().filter(|d| d.starts_with("iio:device")) {
            let tree = root.below(&dir);
            if tree.text("name")?.as_deref() == Some(name) {
                found.push((dir, Device { tree }));
            }
        }
        Ok(found)
    }

    /// Names of channels that can be read on request, e.g. `in_voltage0`.
    ///
    /// # Errors
    /// [`SourceError`] when the directory cannot be listed.
    pub fn channels(&self) -> Result<Vec<String>, SourceError> {
        let names = self.tree.names("")?;
        Ok(names
            .iter()
            .filter_map(|n| n.strip_suffix("_raw"))
            .filter(|n| n.starts_with("in_"))
            .map(Into::into)
            .collect())
    }

    /// `channel` to be read on request; `factor` as in [`Scaling`].
    ///
    /// # Errors
    /// [`SourceError`] when there is no such channel or its scale is no number.
    pub fn raw(&self, channel: &str, factor: f64) -> Result<RawChannel, SourceError> {
        let path = format!("{}_raw", part(channel)?);
        let scaling = self.scaling(channel, factor)?;
        if self.tree.text(&path)?.is_none() {
            return Err(self.absent(&path, "a channel that can be read on request"));
        }
        Ok(RawChannel { tree: self.tree.clone(), path, scaling })
    }

    /// Switches the buffer on as planned and says how to read its records. The timestamp is taken from the
    /// monotonic clock where the device has one; without it, losses cannot be seen.
    ///
    /// # Errors
    /// [`SourceError`] when an attribute is missing or refuses its value, or the records cannot be read.
    pub fn start(&self, plan: &Plan) -> Result<Stream, SourceError> {
        let tree = &self.tree;
        if tree.text("buffer/enable")?.is_some_and(|on| on != "0") {
            tree.write("buffer/enable", "0")?;
        }
        if tree.text("current_timestamp_clock")?.is_some() {
            tree.write("current_timestamp_clock", "monotonic")?;
        }
        for name in tree.names("scan_elements")?.iter().filter_map(|n| n.strip_suffix("_en")) {
            let wanted = name == "in_timestamp" || plan.channels.iter().any(|c| c == name);
            tree.write(&format!("scan_elements/{name}_en"), if wanted { "1" } else { "0" })?;
        }
        if let Some(frequency) = plan.frequency {
            tree.write("sampling_frequency", &frequency.to_string())?;
        }
        let stream = self.stream(plan)?;
        tree.write("buffer/length", &plan.length.to_string())?;
        tree.write("buffer/enable", "1")?;
        Ok(stream)
    }

    /// Switches the buffer off.
    ///
    /// # Errors
    /// [`SourceError::Io`] when the device refuses.
    pub fn stop(&self) -> Result<(), SourceError> {
        self.tree.write("buffer/enable", "0")
    }

    /// What the sysfs attributes say of the records, channels in the order of `plan`.
    fn stream(&self, plan: &Plan) -> Result<Stream, SourceError> {
        let mut elements = Vec::new();
        let mut scalings = Vec::new();
        for channel in &plan.channels {
            let element = self.element(part(channel)?)?;
            elements.push(element.ok_or_else(|| self.absent(channel, "a scan element"))?);
            scalings.push(self.scaling(channel, plan.factor)?);
        }
        let timestamp = self.element("in_timestamp")?;
        let frequency = match self.tree.number("sampling_frequency")? {
            None => self.tree.number("buffer/sampling_frequency")?,
            some => some,
        };
        let frequency = frequency.or(plan.frequency).filter(|f| (MIN_RATE..=MAX_RATE).contains(f));
        let frequency = frequency.ok_or_else(|| self.absent("sampling_frequency", "0.001 to 100000000"))?;
        let layout = Layout::new(&elements, timestamp)
            .map_err(|e| SourceError::unexpected(self.name("scan_elements"), &e.to_string(), "one record"))?;
        // In range: from 10 ns to 1000 s.
        let period = Duration::from_secs_f64(1.0 / frequency);
        Ok(Stream::new(layout, &scalings, u64::try_from(period.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// An enabled scan element; `None` when it is absent or off.
    fn element(&self, name: &str) -> Result<Option<Element>, SourceError> {
        let attribute = |suffix| format!("scan_elements/{name}_{suffix}");
        if self.tree.text(&attribute("en"))?.as_deref() != Some("1") {
            return Ok(None);
        }
        let read = |suffix| {
            let text = self.tree.text(&attribute(suffix))?;
            text.ok_or_else(|| self.absent(&attribute(suffix), "an attribute of the scan element"))
        };
        let (index, kind) = (read("index")?, read("type")?);
        let bad = |found, expected| SourceError::unexpected(self.name(name), found, expected);
        let index = index.parse().map_err(|_| bad(&index, "an index"))?;
        let kind = kind.parse().map_err(|_| bad(&kind, "a type such as le:s12/16>>4"))?;
        Ok(Some(Element { index, kind }))
    }

    /// The channel's own scale and offset, or the one of all channels of its kind (`in_voltage_scale`).
    fn scaling(&self, channel: &str, factor: f64) -> Result<Scaling, SourceError> {
        let kind = part(channel)?.trim_end_matches(|c: char| c.is_ascii_digit());
        let read = |suffix: &str| match self.tree.number(&format!("{channel}_{suffix}"))? {
            None => self.tree.number(&format!("{kind}_{suffix}")),
            some => Ok(some),
        };
        Ok(Scaling { offset: read("offset")?.unwrap_or(0.0), scale: read("scale")?.unwrap_or(1.0), factor })
    }

    fn name(&self, path: &str) -> String {
        self.tree.path(path).display().to_string()
    }

    fn absent(&self, path: &str, expected: &'static str) -> SourceError {
        SourceError::unexpected(self.name(path), "nothing", expected)
    }
}

/// Slowest and fastest rate that is believed, in samples per second.
const MIN_RATE: f64 = 0.001;
const MAX_RATE: f64 = 1e8;

/// A channel's name comes from a configuration and becomes part of a path.
fn part(channel: &str) -> Result<&str, SourceError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if channel.starts_with("in_") && channel.len() <= 100 && channel.chars().all(plain) {
        return Ok(channel);
    }
    Err(SourceError::unexpected("IIO channel", channel, "a name such as in_voltage0"))
}

/// One channel, read through its `_raw` attribute.
#[derive(Debug)]
pub struct RawChannel {
    tree: Tree,
    path: String,
    scaling: Scaling,
}

impl Measure for RawChannel {
    /// The range of a raw attribute is not known, so saturation does not show here.
    fn measure(&mut self) -> Result<(f64, Quality), SourceError> {
        let code = self.tree.number(&self.path)?;
        let gone = || {
            SourceError::unexpected(self.tree.path(&self.path).display().to_string(), "nothing", "a number")
        };
        Ok((self.scaling.value(code.ok_or_else(gone)?), Quality::Good))
    }
}
