"""What every room uses: settings, errors and exit codes, logs, signals, and files that are whole or refused."""
