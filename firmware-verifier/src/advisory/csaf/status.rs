//! The vulnerabilities of an advisory: which product is in which state, how bad it is, what helps.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::tree::Products;
use super::wire::{self, Cvss, Group};
use super::{
    CsafError, MAX_REFERENCES, MAX_VULNERABILITIES, NoteKind, Notes, Remedy, Score, Statement, Status,
    Vulnerability,
};

/// Reads the vulnerabilities; `is_vex` where the profile demands that "not affected" is justified.
pub(super) fn read(
    file: &wire::File,
    products: &Products,
    is_vex: bool,
    notes: &mut Notes,
) -> Result<Vec<Vulnerability>, CsafError> {
    if file.vulnerabilities.len() > MAX_VULNERABILITIES {
        return Err(CsafError::TooMany { what: "vulnerabilities", max: MAX_VULNERABILITIES });
    }
    let groups = groups(&file.product_tree.product_groups, products)?;
    let mut reader = Reader { products, groups, left: MAX_REFERENCES, is_vex, notes };
    let mut cves = HashSet::new();
    let mut out = vec![];
    for vulnerability in &file.vulnerabilities {
        if let Some(cve) = &vulnerability.cve
            && !cves.insert(cve.to_uppercase())
        {
            return Err(CsafError::Twice { what: "CVE", id: cve.clone() });
        }
        out.push(reader.vulnerability(vulnerability)?);
    }
    Ok(out)
}

fn groups(groups: &[Group], products: &Products) -> Result<HashMap<String, Vec<usize>>, CsafError> {
    let mut out = HashMap::new();
    for group in groups {
        let members: Result<Vec<usize>, _> = group.product_ids.iter().map(|id| products.find(id)).collect();
        if out.insert(group.group_id.clone(), members?).is_some() {
            return Err(CsafError::Twice { what: "product group id", id: group.group_id.clone() });
        }
    }
    Ok(out)
}

struct Reader<'a> {
    products: &'a Products,
    groups: HashMap<String, Vec<usize>>,
    /// References that may still be followed.
    left: usize,
    is_vex: bool,
    notes: &'a mut Notes,
}

impl Reader<'_> {
    fn vulnerability(&mut self, v: &wire::Vulnerability) -> Result<Vulnerability, CsafError> {
        let name = v.cve.clone().or_else(|| v.ids.first().map(|id| id.text.clone())).unwrap_or_default();
        let justified = self.justified(v)?;
        let label = if name.is_empty() { "a vulnerability without an id" } else { &name };
        let mut statements = self.statements(&v.product_status, label)?;
        if self.is_vex {
            // 6.1.27.9; the standard has a VEX document say why a product is not affected.
            let counts = |s: &Statement| s.status != Status::NotAffected || justified.contains(&s.product);
            if !statements.iter().all(counts) {
                self.notes.add(NoteKind::Unjustified, label);
                statements.retain(counts);
            }
        }
        Ok(Vulnerability {
            cve: v.cve.as_deref().map(str::to_uppercase),
            title: v.title.clone(),
            score: self.score(v, label)?,
            remedies: self.remedies(v)?,
            id: name.clone(),
            statements,
        })
    }

    /// 6.1.6: a product is affected, not affected, fixed or looked at, never two of them.
    fn statements(&mut self, status: &wire::Status, name: &str) -> Result<Vec<Statement>, CsafError> {
        let lists: [(&[String], Status); 7] = [
            (&status.first_affected, Status::Affected),
            (&status.known_affected, Status::Affected),
            (&status.last_affected, Status::Affected),
            (&status.first_fixed, Status::Fixed),
            (&status.fixed, Status::Fixed),
            (&status.known_not_affected, Status::NotAffected),
            (&status.under_investigation, Status::UnderInvestigation),
        ];
        let mut found: BTreeMap<usize, Status> = BTreeMap::new();
        for (ids, status) in lists {
            for product in self.follow(ids, &[])? {
                match found.insert(product, status) {
                    Some(other) if other != status => {
                        let product =
                            self.products.all.get(product).map(|p| p.id.clone()).unwrap_or_default();
                        let vulnerability = name.to_owned();
                        return Err(CsafError::Contradiction {
                            product,
                            vulnerability,
                            states: [other, status],
                        });
                    }
                    _ => {}
                }
            }
        }
        self.follow(&status.recommended, &[])?;
        Ok(found.into_iter().map(|(product, status)| Statement { product, status }).collect())
    }

    /// Products of which somebody says why they are not affected, by a flag or an impact statement.
    fn justified(&mut self, v: &wire::Vulnerability) -> Result<HashSet<usize>, CsafError> {
        let mut labels: HashMap<usize, &str> = HashMap::new();
        for flag in &v.flags {
            for product in self.follow(&flag.product_ids, &flag.group_ids)? {
                match labels.insert(product, &flag.label) {
                    // 6.1.33.
                    Some(other) if other != flag.label => self.notes.add(NoteKind::Flags, &flag.label),
                    _ => {}
                }
            }
        }
        let mut out: HashSet<usize> = labels.into_keys().collect();
        for threat in &v.threats {
            let products = self.follow(&threat.product_ids, &threat.group_ids)?;
            if threat.category == "impact" {
                out.extend(products);
            }
        }
        Ok(out)
    }

    /// The highest base score of all that are given.
    fn score(&mut self, v: &wire::Vulnerability, name: &str) -> Result<Option<Score>, CsafError> {
        let (mut highest, mut seen) = (None, BTreeSet::new());
        for scores in &v.scores {
            let products = self.follow(&scores.products, &[])?;
            for (version, cvss) in [(2, &scores.cvss_v2), (3, &scores.cvss_v3)] {
                let Some(cvss) = cvss else { continue };
                if !products.iter().all(|product| seen.insert((*product, version))) {
                    self.notes.add(NoteKind::Scores, name);
                }
                match base(cvss) {
                    Some(score) => highest = highest.max(Some(score)),
                    None => self.notes.add(NoteKind::Score, name),
                }
            }
        }
        Ok(highest)
    }

    fn remedies(&mut self, v: &wire::Vulnerability) -> Result<Vec<Remedy>, CsafError> {
        let one = |remediation: &wire::Remediation| {
            Ok(Remedy {
                category: remediation.category.clone(),
                details: remediation.details.clone(),
                url: remediation.url.clone(),
                products: self.follow(&remediation.product_ids, &remediation.group_ids)?,
            })
        };
        v.remediations.iter().map(one).collect()
    }

    /// The products that are named, and those of the groups that are.
    fn follow(&mut self, ids: &[String], groups: &[String]) -> Result<Vec<usize>, CsafError> {
        let mut out: Vec<usize> = ids.iter().map(|id| self.products.find(id)).collect::<Result<_, _>>()?;
        for id in groups {
            let dangling = || CsafError::Dangling { what: "product group", id: id.clone() };
            let members = self.groups.get(id).ok_or_else(dangling)?;
            if out.len() + members.len() > self.left {
                return Err(CsafError::TooMany { what: "references to products", max: MAX_REFERENCES });
            }
            out.extend(members);
        }
        let too_many = CsafError::TooMany { what: "references to products", max: MAX_REFERENCES };
        self.left = self.left.checked_sub(out.len()).ok_or(too_many)?;
        Ok(out)
    }
}

/// 0.0 to 10.0 in tenths.
fn base(cvss: &Cvss) -> Option<Score> {
    let value = cvss.base_score.as_ref()?.as_f64()?;
    Score::new(value)
}
