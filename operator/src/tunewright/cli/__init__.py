"""`tunewright`: the command line. It reads manifests, drives the spine with the local world, and draws; it decides nothing."""
