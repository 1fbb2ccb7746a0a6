"""Text encoders, one file each; the file's name begins its spec."""
