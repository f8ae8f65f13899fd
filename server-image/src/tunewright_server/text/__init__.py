"""Between text and tokens: tokenizer, chat template, and text that grows token by token."""
