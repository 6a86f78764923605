//! The GST tax invoice as a PDF.
