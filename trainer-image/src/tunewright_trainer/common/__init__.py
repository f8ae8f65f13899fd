"""Shared by all rooms: settings, errors and exit codes, logs, signals, and verified files."""
