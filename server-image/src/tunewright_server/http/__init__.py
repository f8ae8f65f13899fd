"""The OpenAI API, health and metrics. These modules do not depend on how an engine computes."""
