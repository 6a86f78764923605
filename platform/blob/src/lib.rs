//! Content-addressed files (media, invoices).
