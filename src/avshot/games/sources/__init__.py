"""Where the pictures of a game come from, one file each."""
