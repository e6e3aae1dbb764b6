"""Do these artefacts compute the same? (``dormant check``)."""
