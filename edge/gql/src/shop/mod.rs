//! The part of the API for shoppers and their apps.

pub(crate) mod browse;
pub(crate) mod cart;
pub(crate) mod catalog;
pub(crate) mod identity;
pub(crate) mod live;
pub(crate) mod order;
pub(crate) mod play;
