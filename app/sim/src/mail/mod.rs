//! The mail catcher: takes every mail by SMTP and shows it; sends nothing on.

pub(crate) mod mailbox;
pub(crate) mod smtp;
