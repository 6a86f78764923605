//! Transactional outbox and its delivery to consumers.
