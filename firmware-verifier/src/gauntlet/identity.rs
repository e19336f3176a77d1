//! The identity stage: is the controller the one that the image is asked for?

use super::{Finding, Seen, Stepped};
use crate::identity::{ControllerIdentity, Observed, Product, same};
use crate::reasons;
use crate::verdict::Rejection;

/// Compares what the controller said with what the configuration says.
pub(super) fn check(product: &Product, identity: Option<&Observed<ControllerIdentity>>) -> Stepped {
    let Some(Observed { at, value: read }) = identity else {
        return Ok(Seen::nothing("the controller has not said what it is"));
    };
    let code = if !same(read.vendor(), product.vendor()) {
        reasons::WRONG_VENDOR
    } else if !same(read.model(), product.model()) {
        reasons::WRONG_MODEL
    } else {
        let found = format!("the controller says {read}, read {at}");
        return Ok(Seen::Passed(Finding { found, expected: product.to_string() }));
    };
    let found =
        format!("the controller says vendor {:?}, model {:?}, read {at}", read.vendor(), read.model());
    Err(Rejection::new(code, found, product.to_string()).into())
}
