//! Through the public interface, on both engines.
