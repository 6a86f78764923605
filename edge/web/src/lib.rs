//! The storefront: static files embedded in the binary.
