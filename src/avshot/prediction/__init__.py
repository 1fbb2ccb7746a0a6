"""From a Run and a raw video to a ranking of names."""
