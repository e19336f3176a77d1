//! The shape of a CSAF 2.0 document, as far as it is read here (csaf_json_schema.json of the standard).

use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct File {
    pub(super) document: Document,
    #[serde(default)]
    pub(super) product_tree: Tree,
    #[serde(default)]
    pub(super) vulnerabilities: Vec<Vulnerability>,
}

#[derive(Deserialize)]
pub(super) struct Document {
    pub(super) category: String,
    pub(super) csaf_version: String,
    pub(super) title: String,
    pub(super) publisher: Publisher,
    pub(super) tracking: Tracking,
    #[serde(default)]
    pub(super) references: Vec<Reference>,
}

#[derive(Deserialize)]
pub(super) struct Publisher {
    pub(super) name: String,
    pub(super) namespace: String,
}

#[derive(Deserialize)]
pub(super) struct Tracking {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) version: String,
    pub(super) initial_release_date: String,
    pub(super) current_release_date: String,
}

#[derive(Deserialize)]
pub(super) struct Reference {
    #[serde(default)]
    pub(super) category: String,
    pub(super) url: String,
}

#[derive(Deserialize, Default)]
pub(super) struct Tree {
    #[serde(default)]
    pub(super) branches: Vec<Branch>,
    #[serde(default)]
    pub(super) full_product_names: Vec<FullName>,
    #[serde(default)]
    pub(super) product_groups: Vec<Group>,
    #[serde(default)]
    pub(super) relationships: Vec<Relationship>,
}

#[derive(Deserialize)]
pub(super) struct Branch {
    pub(super) category: String,
    pub(super) name: String,
    #[serde(default)]
    pub(super) branches: Vec<Branch>,
    pub(super) product: Option<FullName>,
}

#[derive(Deserialize)]
pub(super) struct FullName {
    pub(super) name: String,
    pub(super) product_id: String,
    #[serde(default)]
    pub(super) product_identification_helper: HelperText,
}

#[derive(Deserialize, Default)]
pub(super) struct HelperText {
    pub(super) cpe: Option<String>,
    pub(super) purl: Option<String>,
    #[serde(default)]
    pub(super) hashes: Vec<Hashes>,
    #[serde(default)]
    pub(super) model_numbers: Vec<String>,
    #[serde(default)]
    pub(super) skus: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Hashes {
    #[serde(default)]
    pub(super) file_hashes: Vec<FileHash>,
}

#[derive(Deserialize)]
pub(super) struct FileHash {
    pub(super) algorithm: String,
    pub(super) value: String,
}

#[derive(Deserialize)]
pub(super) struct Group {
    pub(super) group_id: String,
    pub(super) product_ids: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Relationship {
    pub(super) category: String,
    pub(super) full_product_name: FullName,
    pub(super) product_reference: String,
    pub(super) relates_to_product_reference: String,
}

#[derive(Deserialize)]
pub(super) struct Vulnerability {
    pub(super) cve: Option<String>,
    #[serde(default)]
    pub(super) ids: Vec<Id>,
    pub(super) title: Option<String>,
    #[serde(default)]
    pub(super) product_status: Status,
    #[serde(default)]
    pub(super) scores: Vec<Scores>,
    #[serde(default)]
    pub(super) remediations: Vec<Remediation>,
    #[serde(default)]
    pub(super) flags: Vec<Flag>,
    #[serde(default)]
    pub(super) threats: Vec<Threat>,
}

#[derive(Deserialize)]
pub(super) struct Id {
    pub(super) text: String,
}

#[derive(Deserialize, Default)]
pub(super) struct Status {
    #[serde(default)]
    pub(super) first_affected: Vec<String>,
    #[serde(default)]
    pub(super) known_affected: Vec<String>,
    #[serde(default)]
    pub(super) last_affected: Vec<String>,
    #[serde(default)]
    pub(super) first_fixed: Vec<String>,
    #[serde(default)]
    pub(super) fixed: Vec<String>,
    #[serde(default)]
    pub(super) known_not_affected: Vec<String>,
    #[serde(default)]
    pub(super) under_investigation: Vec<String>,
    #[serde(default)]
    pub(super) recommended: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Scores {
    #[serde(default)]
    pub(super) products: Vec<String>,
    pub(super) cvss_v2: Option<Cvss>,
    pub(super) cvss_v3: Option<Cvss>,
}

#[derive(Deserialize)]
pub(super) struct Cvss {
    #[serde(rename = "baseScore")]
    pub(super) base_score: Option<serde_json::Value>,
}

#[derive(Deserialize)]
pub(super) struct Remediation {
    pub(super) category: String,
    pub(super) details: String,
    pub(super) url: Option<String>,
    #[serde(default)]
    pub(super) product_ids: Vec<String>,
    #[serde(default)]
    pub(super) group_ids: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Flag {
    pub(super) label: String,
    #[serde(default)]
    pub(super) product_ids: Vec<String>,
    #[serde(default)]
    pub(super) group_ids: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Threat {
    pub(super) category: String,
    #[serde(default)]
    pub(super) product_ids: Vec<String>,
    #[serde(default)]
    pub(super) group_ids: Vec<String>,
}
