"""Pictures of scenes by casting rays, in numpy: exact boxes and masks, about half a second on one core."""
