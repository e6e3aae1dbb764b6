"""Treatments, one a file: functions whose keyword arguments are their configuration."""
