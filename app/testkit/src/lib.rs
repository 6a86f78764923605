//! What tests share: private Postgres, databases, a driven clock.
