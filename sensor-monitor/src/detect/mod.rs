//! Detectors: one standardised value after another in, a change out.
