//! Webhooks, media, health, metrics.
