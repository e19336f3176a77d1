//! A trust anchor: a public key or a certified signer, whose it is, what it may sign for, and when.
//!
//! Invariant: an [`Anchor`] that exists has a sound credential, one role, and a name; a vendor's has one vendor
//! and at least one model, and no other has a scope to be mistaken for a limit.

use hal::clock::Wall;
use serde::{Deserialize, Serialize};

use super::credential::{
    Certified, Credential, CredentialError, Keyless, MAX_AUTHORITY, MAX_ROOT, SIGSTORE, X509,
};
use super::key::{KeyError, KeyId, KeyKind, P256_LEN, PublicKey};
use super::role::Role;
use crate::hex;
use crate::identity::{IdentityError, Product, required, same};

/// Most models that one anchor names.
pub const MAX_MODELS: usize = 32;
/// The one model text that stands for every model of the vendor.
pub const ANY_MODEL: &str = "*";

/// What an anchor may sign for: models of one vendor, each by its exact name or all by `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    vendor: String,
    models: Vec<String>,
}

impl Scope {
    /// A scope; `models` are exact names, or the single `*`.
    pub fn new<T: AsRef<str>>(vendor: &str, models: &[T]) -> Result<Scope, AnchorError> {
        let vendor = required("vendor", vendor)?;
        if models.is_empty() || models.len() > MAX_MODELS {
            return Err(AnchorError::Models { found: models.len() });
        }
        let models: Vec<String> =
            models.iter().map(|m| required("model", m.as_ref())).collect::<Result<_, _>>()?;
        let pattern = |text: &str| text.contains('*') && (text != ANY_MODEL || models.len() > 1);
        if let Some(found) = models.iter().chain([&vendor]).find(|text| pattern(text)) {
            return Err(AnchorError::Pattern { found: found.clone() });
        }
        if vendor == ANY_MODEL {
            return Err(AnchorError::Pattern { found: vendor });
        }
        Ok(Scope { vendor, models })
    }

    /// The scope of keys that sign no images: everything, written `*` for vendor and model.
    pub fn everything() -> Scope {
        Scope { vendor: ANY_MODEL.to_owned(), models: vec![ANY_MODEL.to_owned()] }
    }

    /// A scope as `role` has it: products for a vendor, everything for the others.
    pub(crate) fn of_role<T: AsRef<str>>(
        role: Role,
        vendor: &str,
        models: &[T],
    ) -> Result<Scope, AnchorError> {
        match (role, models) {
            (Role::Vendor, _) => Scope::new(vendor, models),
            (_, [model]) if vendor == ANY_MODEL && model.as_ref() == ANY_MODEL => Ok(Scope::everything()),
            _ => Err(AnchorError::Scoped { role }),
        }
    }

    /// The vendor.
    pub fn vendor(&self) -> &str {
        &self.vendor
    }

    /// The models, or the single `*`.
    pub fn models(&self) -> &[String] {
        &self.models
    }

    /// Whether `product` is inside.
    pub fn covers(&self, product: &Product) -> bool {
        let model = |m: &String| m == ANY_MODEL || same(m, product.model());
        same(&self.vendor, product.vendor()) && self.models.iter().any(model)
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.vendor, self.models.join(", "))
    }
}

/// Who is trusted within a scope and a span of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "AnchorText", into = "AnchorText")]
pub struct Anchor {
    role: Role,
    credential: Credential,
    name: String,
    scope: Scope,
    valid_from: Option<Wall>,
    valid_until: Option<Wall>,
    added: Wall,
}

impl Anchor {
    /// A vendor's anchor without limits in time.
    pub fn new(
        credential: impl Into<Credential>,
        name: &str,
        scope: Scope,
        added: Wall,
    ) -> Result<Anchor, AnchorError> {
        if scope == Scope::everything() {
            return Err(AnchorError::Pattern { found: scope.vendor });
        }
        Anchor::made(Role::Vendor, credential.into(), name, scope, added)
    }

    /// An anchor of another role than a vendor's, without limits in time.
    pub fn with_role(role: Role, key: PublicKey, name: &str, added: Wall) -> Result<Anchor, AnchorError> {
        match role {
            Role::Vendor => Err(AnchorError::Pattern { found: ANY_MODEL.to_owned() }),
            Role::Site | Role::Approver | Role::Gateway => {
                Anchor::made(role, key.into(), name, Scope::everything(), added)
            }
        }
    }

    pub(crate) fn made(
        role: Role,
        credential: Credential,
        name: &str,
        scope: Scope,
        added: Wall,
    ) -> Result<Anchor, AnchorError> {
        if !role.takes(&credential) {
            return Err(AnchorError::Role { role, kind: credential.kind() });
        }
        let name = required("name", name)?;
        Ok(Anchor { role, credential, name, scope, valid_from: None, valid_until: None, added })
    }

    /// The same anchor, trusted from `from` on and before `until`.
    pub fn valid(self, from: Option<Wall>, until: Option<Wall>) -> Result<Anchor, AnchorError> {
        match (from, until) {
            (Some(from), Some(until)) if from.ms >= until.ms => Err(AnchorError::Span { from, until }),
            _ => Ok(Anchor { valid_from: from, valid_until: until, ..self }),
        }
    }

    /// What its signatures count for.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether `now` is within its span; a span is judged by a trusted clock only.
    pub fn is_valid_at(&self, now: Wall) -> bool {
        let begun = self.valid_from.is_none_or(|from| now.trusted && now.ms >= from.ms);
        begun && self.valid_until.is_none_or(|until| now.trusted && now.ms < until.ms)
    }

    /// The name of its key, or of its certified signer.
    pub fn id(&self) -> KeyId {
        self.credential.id()
    }

    /// What its signatures are checked with.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Its key, where it has one.
    pub fn key(&self) -> Option<&PublicKey> {
        self.credential.key()
    }

    /// Whose key it is, as people call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it may sign for.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The first moment it is trusted at.
    pub fn valid_from(&self) -> Option<Wall> {
        self.valid_from
    }

    /// The first moment it is no longer trusted at.
    pub fn valid_until(&self) -> Option<Wall> {
        self.valid_until
    }

    /// When it was added.
    pub fn added(&self) -> Wall {
        self.added
    }
}

impl std::fmt::Display for Anchor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, kind, id) = (&self.name, &self.credential, self.id());
        match self.role {
            Role::Vendor => write!(f, "{name:?} ({kind}, key {id}, for {})", self.scope),
            Role::Site | Role::Approver | Role::Gateway => {
                write!(f, "{name:?} ({kind}, {} key {id})", self.role)
            }
        }
    }
}

/// Why an anchor cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnchorError {
    /// None, or too many.
    #[error("{found} models; name 1 to {MAX_MODELS}, or the single \"*\" for all of the vendor's")]
    Models {
        /// How many.
        found: usize,
    },
    /// A `*` that is not the whole list of models.
    #[error("{found:?} is a pattern; name models exactly, or the single \"*\" for all of the vendor's")]
    Pattern {
        /// The text.
        found: String,
    },
    /// A key of a kind that cannot serve in this role.
    #[error(
        "{kind} as {role}: minisign keys and certificates sign images alone, and a gateway's own key is an Ed25519 key"
    )]
    Role {
        /// The role.
        role: Role,
        /// The kind.
        kind: &'static str,
    },
    /// A scope for a key that signs no images.
    #[error("{role} keys have no products; write \"*\" for vendor and models")]
    Scoped {
        /// The role.
        role: Role,
    },
    /// Ends before it starts.
    #[error("valid from {from} until {until} is no span of time; the end must be later")]
    Span {
        /// Its start.
        from: Wall,
        /// Its end.
        until: Wall,
    },
    /// A name that cannot be used.
    #[error(transparent)]
    Text(#[from] IdentityError),
    /// A key that cannot be trusted.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A certificate that cannot be trusted.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// A stored text of another shape.
    #[error("stored anchor: {field} {found:?} cannot be read")]
    Stored {
        /// Which field.
        field: &'static str,
        /// Its beginning.
        found: String,
    },
}

/// An anchor as it is stored and printed; turning it into an [`Anchor`] checks everything again.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnchorText {
    added: Wall,
    id: KeyId,
    /// Who vouches for the identity in `signer`; `key` is then the file with sigstore's keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    key: String,
    kind: String,
    key_number: Option<String>,
    models: Vec<String>,
    name: String,
    /// Absent for a vendor: that was the only role in schema 1, whose anchors are read the same way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    /// The name of a certified signer; `key` is then the authority's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signer: Option<String>,
    valid_from: Option<Wall>,
    valid_until: Option<Wall>,
    vendor: String,
}

impl From<Anchor> for AnchorText {
    fn from(anchor: Anchor) -> AnchorText {
        let (key, signer, issuer) = match &anchor.credential {
            Credential::Key(key) => (key.as_bytes(), None, None),
            Credential::Certified(signer) => (signer.authority(), Some(signer.signer()), None),
            Credential::Keyless(signer) => {
                (signer.root(), Some(signer.identity_text()), Some(signer.issuer()))
            }
        };
        let (signer, issuer) = (signer.map(str::to_owned), issuer.map(str::to_owned));
        let key_number = match anchor.key().map(PublicKey::kind) {
            Some(KeyKind::Minisign { key_number }) => Some(hex::encode(&key_number)),
            Some(KeyKind::Ed25519 | KeyKind::EcdsaP256) | None => None,
        };
        AnchorText {
            added: anchor.added,
            id: anchor.id(),
            key: hex::encode(key),
            kind: anchor.credential.kind().to_owned(),
            key_number,
            issuer,
            signer,
            models: anchor.scope.models,
            name: anchor.name,
            role: (anchor.role != Role::Vendor).then_some(anchor.role),
            valid_from: anchor.valid_from,
            valid_until: anchor.valid_until,
            vendor: anchor.scope.vendor,
        }
    }
}

impl TryFrom<AnchorText> for Anchor {
    type Error = AnchorError;
    fn try_from(text: AnchorText) -> Result<Anchor, AnchorError> {
        let AnchorText { kind, key, key_number, signer, issuer, .. } = &text;
        let named = (signer.as_deref(), issuer.as_deref());
        let key = stored_credential((kind, key), key_number.as_deref(), named)?;
        if key.id() != text.id {
            return Err(stored("id", &text.id.to_string()));
        }
        let role = text.role.unwrap_or(Role::Vendor);
        let scope = Scope::of_role(role, &text.vendor, &text.models)?;
        Anchor::made(role, key, &text.name, scope, text.added)?.valid(text.valid_from, text.valid_until)
    }
}

/// A credential from its texts: kind; point, certificate or file in hexadecimal; minisign's number; a signer's name and who
/// vouches for it.
pub(crate) fn stored_credential(
    (kind, key): (&str, &str),
    number: Option<&str>,
    (signer, issuer): (Option<&str>, Option<&str>),
) -> Result<Credential, AnchorError> {
    let bytes = |max| hex::decode_vec(key, max).ok_or_else(|| stored("key", key));
    let kind = match (kind, number, signer, issuer) {
        ("ed25519", None, None, None) => KeyKind::Ed25519,
        ("ecdsa-p256", None, None, None) => KeyKind::EcdsaP256,
        ("minisign", Some(number), None, None) => {
            let key_number = hex::decode(number).ok_or_else(|| stored("key_number", number))?;
            KeyKind::Minisign { key_number }
        }
        (X509, None, Some(signer), None) => {
            return Ok(Certified::new(&bytes(MAX_AUTHORITY)?, signer)?.into());
        }
        (SIGSTORE, None, Some(identity), Some(issuer)) => {
            return Ok(Keyless::new(&bytes(MAX_ROOT)?, identity, issuer)?.into());
        }
        _ => return Err(stored("kind", kind)),
    };
    Ok(PublicKey::new(kind, bytes(P256_LEN)?)?.into())
}

fn stored(field: &'static str, found: &str) -> AnchorError {
    AnchorError::Stored { field, found: found.chars().take(80).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anchor() -> Anchor {
        let key =
            PublicKey::parse(b"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a").unwrap();
        Anchor::new(key, "acme release", Scope::new("acme", &["px-200"]).unwrap(), Wall::trusted(5)).unwrap()
    }

    #[test]
    fn a_scope_covers_exact_names_or_the_whole_vendor() {
        let px = Product::new("ACME", "PX-200 ").unwrap();
        let covers = |vendor: &str, models: &[&str]| Scope::new(vendor, models).unwrap().covers(&px);
        assert!(covers("acme", &["px-100", "px-200"]) && covers("acme", &["*"]));
        assert!(!covers("acme", &["px-20"]) && !covers("other", &["*"]));
    }

    #[test]
    fn a_pattern_is_no_scope() {
        for (vendor, models) in [
            ("acme", vec!["px-*"]),
            ("acme", vec!["*", "px"]),
            ("*", vec!["*"]),
            ("a", vec![]),
            ("a", vec![" "]),
        ] {
            assert!(Scope::new(vendor, &models).is_err(), "{vendor} {models:?}");
        }
    }

    #[test]
    fn an_anchor_reads_back_and_a_changed_one_does_not() {
        let anchor = anchor().valid(Some(Wall::trusted(1)), Some(Wall::trusted(9))).unwrap();
        let json = serde_json::to_string(&anchor).unwrap();
        assert_eq!(serde_json::from_str::<Anchor>(&json).unwrap(), anchor);
        let id = anchor.id().to_string();
        for (from, to) in [
            (id.as_str(), "0000000000000000"),
            ("ed25519", "minisign"),
            ("d75a", "d75"),
            ("px-200", "p*"),
            ("\"ms\":9", "\"ms\":1"),
        ] {
            let changed = json.replacen(from, to, 1);
            assert_ne!(changed, json, "{from}");
            assert!(serde_json::from_str::<Anchor>(&changed).is_err(), "{from} -> {to}");
        }
    }

    #[test]
    fn an_anchor_needs_a_name_and_a_span_that_ends_later() {
        let at = |ms| Some(Wall::trusted(ms));
        assert!(matches!(anchor().valid(at(5), at(5)), Err(AnchorError::Span { .. })));
        let (key, scope) = (*anchor().key().unwrap(), anchor().scope().clone());
        assert!(matches!(Anchor::new(key, "", scope, Wall::trusted(0)), Err(AnchorError::Text(_))));
    }

    #[test]
    fn each_role_takes_the_kinds_it_can_use_and_no_other_scope() {
        let key = *anchor().key().unwrap();
        let site = Anchor::with_role(Role::Site, key, "site", Wall::trusted(0)).unwrap();
        assert_eq!((site.role(), site.scope()), (Role::Site, &Scope::everything()));
        let json = serde_json::to_string(&site).unwrap();
        assert_eq!(serde_json::from_str::<Anchor>(&json).unwrap(), site);
        for (from, to) in [("\"site\"}", "\"vendor\"}"), ("\"role\":\"site\",", ""), ("[\"*\"]", "[\"px\"]")]
        {
            assert!(
                serde_json::from_str::<Anchor>(&json.replacen(from, to, 1)).is_err() || !json.contains(from)
            );
        }
        let minisign = PublicKey::new(KeyKind::Minisign { key_number: [1; 8] }, key.as_bytes()).unwrap();
        for role in [Role::Site, Role::Approver] {
            let error = Anchor::with_role(role, minisign, "m", Wall::trusted(0)).unwrap_err();
            assert!(matches!(error, AnchorError::Role { .. }));
        }
        assert!(Anchor::with_role(Role::Vendor, key, "v", Wall::trusted(0)).is_err());
        assert!(Anchor::new(key, "v", Scope::everything(), Wall::trusted(0)).is_err());
    }

    #[test]
    fn a_span_is_within_only_for_a_trusted_clock() {
        let span = anchor().valid(Some(Wall::trusted(5)), Some(Wall::trusted(9))).unwrap();
        let at = |ms| span.is_valid_at(Wall::trusted(ms));
        assert_eq!([4, 5, 8, 9].map(at), [false, true, true, false]);
        assert!(!span.is_valid_at(Wall { ms: 6, trusted: false }));
        assert!(anchor().is_valid_at(Wall { ms: 6, trusted: false }));
    }
}
