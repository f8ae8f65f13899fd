"""The OpenAI API, health and metrics over one engine. Nothing here knows how tokens are made."""
