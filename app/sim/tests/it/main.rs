//! The simulators from outside.
