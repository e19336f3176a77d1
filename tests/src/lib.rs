//! Nothing but the tests beside this folder: they drive Headgate from outside.

#![forbid(unsafe_code)]
