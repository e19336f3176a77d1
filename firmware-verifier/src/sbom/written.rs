//! A list of parts of our own: what looking into an image has found, as CycloneDX 1.6 (ECMA-424).
//!
//! It says by what each part is known and how sure that is, and that it is incomplete: what carries no text that says what
//! it is was not found.

use hal::clock::Wall;
use serde_json::{Map, Value, json};

use crate::digest::Digest;
use crate::inspect::{By, Found, Report};

/// What is written down.
#[derive(Debug, Clone, Copy)]
pub struct Inspected<'a> {
    /// The image's name, for people.
    pub name: &'a str,
    /// Its SHA-256, by which the list is one of this image.
    pub digest: Digest,
    /// Its bytes.
    pub len: u64,
    /// What was found.
    pub report: &'a Report,
    /// What Landlock did for the process that looked.
    pub landlock: &'a str,
    /// When.
    pub made: Wall,
    /// The version of Headgate.
    pub tool: &'a str,
}

/// The document. The same image, report and time give the same document.
pub fn written(of: &Inspected<'_>) -> Value {
    let components: Vec<Value> =
        of.report.components.iter().enumerate().map(|(n, found)| component(of, n, found)).collect();
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial(of.digest),
        "version": 1,
        "metadata": {
            "timestamp": of.made.to_string(),
            "lifecycles": [{ "phase": "post-build" }],
            "tools": { "components": [{ "type": "application", "name": "headgate", "version": of.tool }] },
            "component": {
                "type": "firmware", "bom-ref": "image", "name": of.name,
                "hashes": [{ "alg": "SHA-256", "content": of.digest.to_hex() }],
                "properties": properties(of),
            },
        },
        "components": components,
        "compositions": [{ "aggregate": "incomplete", "assemblies": ["image"] }],
    })
}

/// A UUID of version 8 (RFC 9562 §5.8) made of the image's digest.
fn serial(digest: Digest) -> String {
    let mut hex: Vec<char> = digest.to_hex().chars().take(32).collect();
    if let Some(version) = hex.get_mut(12) {
        *version = '8';
    }
    if let Some(variant) = hex.get_mut(16) {
        *variant = 'a';
    }
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default().iter().collect::<String>();
    format!("urn:uuid:{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

fn properties(of: &Inspected<'_>) -> Vec<Value> {
    let property = |name: &str, value: String| json!({ "name": format!("headgate:{name}"), "value": value });
    let mut all = vec![
        property("bytes", of.len.to_string()),
        property("whole", of.report.is_whole().to_string()),
        property("unpacked", of.report.unpacked.to_string()),
        property("entries", of.report.entries.to_string()),
        property("landlock", of.landlock.into()),
    ];
    let at = |place: &str| if place.is_empty() { String::new() } else { format!(" at {place}") };
    for finding in &of.report.findings {
        all.push(property("finding", format!("{}{}: {}", finding.code, at(&finding.place), finding.text)));
    }
    // A list of every container of an image of many small ones would hide the parts.
    for container in of.report.containers.iter().take(200) {
        all.push(property("container", format!("{}: {}", container.place, container.what)));
    }
    all
}

fn component(of: &Inspected<'_>, n: usize, found: &Found) -> Value {
    let mut fields = Map::new();
    let mut set = |name: &str, value: Value| fields.insert(name.into(), value);
    set("type", found.kind.word().into());
    set("bom-ref", format!("part-{n}").into());
    set("name", found.name.clone().into());
    for (name, value) in [("version", &found.version), ("cpe", &found.cpe), ("purl", &found.purl)] {
        if let Some(value) = value {
            set(name, value.clone().into());
        }
    }
    let confidence = f64::from(found.confidence.min(100)) / 100.0;
    let technique = match found.by {
        By::Text | By::Symbol => "binary-analysis",
        By::Package => "manifest-analysis",
    };
    let value = found.occurrences.first().map_or("", |o| o.evidence.as_str());
    let method = json!({ "technique": technique, "confidence": confidence, "value": value });
    let field = if found.version.is_some() { "version" } else { "name" };
    let occurrences: Vec<Value> = found
        .occurrences
        .iter()
        .map(|o| {
            let location = if o.place.is_empty() { of.name } else { &o.place };
            json!({ "location": location, "offset": o.offset, "additionalContext": o.evidence })
        })
        .collect();
    set(
        "evidence",
        json!({
            "identity": [{ "field": field, "confidence": confidence, "methods": [method] }],
            "occurrences": occurrences,
        }),
    );
    Value::Object(fields)
}
