//! Load generators and benchmarks.
