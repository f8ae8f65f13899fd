"""What is tuned and how: base model, tokenizer, adapters, libraries' arguments, number types, reported progress."""
