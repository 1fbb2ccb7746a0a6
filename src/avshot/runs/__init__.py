"""The folders that Runs lie in: whose they are, what they depend on, what is written there."""
