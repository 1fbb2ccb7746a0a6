"""What a listener does not see, one file each."""
