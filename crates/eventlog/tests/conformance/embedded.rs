//! What only the embedded log can show: one process, killed; one folder; a torn file.
