"""Scripts that every Lava folder of a bundle holds as they are; `lava_export` copies them, nothing imports them."""
