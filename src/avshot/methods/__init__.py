"""One file per method. The file name is the registry name and the command-line name."""
