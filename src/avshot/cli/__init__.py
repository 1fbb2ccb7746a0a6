"""The command line: `app` parses, one file per command prints what quiet functions return."""
