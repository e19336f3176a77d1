//! Estimators: samples in, one physical quantity out.
