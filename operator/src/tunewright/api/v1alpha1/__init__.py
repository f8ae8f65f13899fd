"""`tunewright.io/v1alpha1`: the FineTuneJob, one concept per file. Field names are the libraries' own, in lowerCamelCase."""
