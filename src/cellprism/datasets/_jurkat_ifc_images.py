"""Images of cycling cells in flow."""

from typing import TYPE_CHECKING

from cellprism.datasets._io import read_shipped

if TYPE_CHECKING:
    import mudata


def jurkat_ifc_images() -> "mudata.MuData":
    """Nuclear and label-free images of 2,412 Jurkat cells in the cell cycle (imaging flow cytometry).

    Both were taken of every cell. Images are uint8, cells x channels x 40 x 40, in ``.obsm["image"]``; names of
    channels are in ``.uns["channels"]``; ``.X`` holds five simple intensity features per channel.

    Returns
    -------
    Fully paired MuData of 2,412 cells.

    - ``mdata["nucleus"]``: one channel, DNA (propidium iodide).
    - ``mdata["labelfree"]``: bright field and dark field.
    - ``.obs`` of both modalities: ``phase`` (7 phases of the cell cycle), ``phase3`` (G1, S, G2/M), ``experiment``
      (2) and ``dna_content``.

    Notes
    -----
    Source: a part of the images of minh-doan/MLCP (BSD-3 licence).

    References
    ----------
    Blasi et al., Label-free cell cycle analysis for high-throughput imaging flow cytometry, Nature Communications
    7:10256 (2016); Hennig et al., An open-source solution for advanced imaging flow cytometry data analysis using
    machine learning, Methods 112:201 (2017).

    Examples
    --------
    >>> import cellprism
    >>> cellprism.datasets.jurkat_ifc_images()["labelfree"].obsm["image"].shape
    (2412, 2, 40, 40)
    """
    return read_shipped("jurkat_ifc_images")
