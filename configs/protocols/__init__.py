"""A file a protocol; each takes the base as its argument: cross_compression.py:synthetic, :synthetic:full, :ffpp."""
