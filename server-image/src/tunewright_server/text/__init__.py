"""Tokenizer, chat template, and incremental decoding of text."""
