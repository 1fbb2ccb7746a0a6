"""Classes from words: phrases, text encoders, class-embedding optimisation."""
