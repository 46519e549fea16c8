"""Images of cells of which a few divide."""

from typing import TYPE_CHECKING

from cellprism.datasets._io import read_shipped

if TYPE_CHECKING:
    import mudata


def ht29_ph3_images() -> "mudata.MuData":
    """Nuclei and stained proteins of 271 HT29 cells, 17 of them in mitosis.

    Both were taken of every cell. Images are uint8, cells x channels x 32 x 32, in ``.obsm["image"]``; names of
    channels are in ``.uns["channels"]``; ``.X`` holds five simple intensity features per channel.

    Returns
    -------
    Fully paired MuData of 271 cells.

    - ``mdata["nucleus"]``: one channel, DNA.
    - ``mdata["protein_image"]``: ``pH3`` (phospho-histone H3, a mark of mitosis) and ``cell_stain``.
    - ``.obs`` of both modalities: ``mitotic`` (interphase or mitotic, derived from the images), ``nuc_area``,
      ``nuc_ecc`` and mean intensities.

    Notes
    -----
    Crops lie in the order of their field and overlap: a neighbour held out at random may stand in a training crop.
    Hold out consecutive cells.

    Source: cropped from the images of CellProfiler/examples (code BSD-3 licence, images CC0).

    Examples
    --------
    >>> import cellprism
    >>> cellprism.datasets.ht29_ph3_images()["protein_image"].obsm["image"].shape
    (271, 2, 32, 32)
    """
    return read_shipped("ht29_ph3_images")
