"""Names of the slots that images, masks and what is measured of them are kept in."""

IMAGE = "image"
"""``.obsm`` key of images, (cells, channels, height, width)."""

MASK = "mask"
"""``.obsm`` key of foreground masks, (cells, 1, height, width)."""

SPATIAL = "spatial"
"""``.obsm`` key of x and y on the field of view, as in squidpy."""

CHANNELS = "channels"
"""``.uns`` key of the names of the channels."""

NORMALIZED = "image_normalized"
"""``.obsm`` key of images on a common scale."""

RADIAL_PROFILE = "radial_profile"
"""``.obsm`` key of mean intensities from the centre to the edge of a cell."""

IMAGE_FEATURES = "image_features"
"""``.obsm`` key of what is measured of each image."""
