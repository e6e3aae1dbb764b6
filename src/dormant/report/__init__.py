"""Reports: results in, files out."""
