//! Simulators of the outside providers.
