"""Data files read row by row, validated, split, and turned into token ids."""
