"""Tuning: base model, tokenizer, adapters, libraries' arguments, number types, progress reports."""
