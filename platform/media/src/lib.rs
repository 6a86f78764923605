//! Uploaded pictures into safe WebP renditions.
