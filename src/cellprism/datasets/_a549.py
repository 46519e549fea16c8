"""Co-assay of expression and accessibility in A549 cells."""

from typing import TYPE_CHECKING

from cellprism.datasets._io import read_shipped

if TYPE_CHECKING:
    import mudata


def a549() -> "mudata.MuData":
    """RNA and ATAC of 1,874 lung adenocarcinoma cells after 0, 1 or 3 hours of dexamethasone (sci-CAR).

    Both modalities were measured in every cell; values are raw counts.

    Returns
    -------
    Fully paired MuData of 1,874 cells.

    - ``mdata["rna"]``: 2,613 genes. Names are known for 1,014 of them (``var["name_known"]``); the others are
      called ``rna_0001`` and so on.
    - ``mdata["atac"]``: counts over 815 transcription factor motifs, named ``atac:<name>`` because 66 of the
      names are also genes; ``var["name"]`` holds them without the prefix.
    - ``.obs`` of both modalities and of ``mdata``: ``treatment_time`` (0, 1 or 3, in hours), ``treatment``
      (the same as a category) and ``author_split`` (``"train"`` or ``"test"``, the split of
      :cite:p:`yang2021`).

    Notes
    -----
    Twelve cells have no counts in ``atac``. Features were chosen by the authors as differential between
    treatments; ``mdata.uns["provenance"]`` says how names were recovered.

    Source: processed data of uhlerlab/cross-modal-autoencoders (MIT licence) from GSE117089.

    References
    ----------
    Cells: Cao et al., Joint profiling of chromatin accessibility and gene expression in thousands of single
    cells, Science 361:1380 (2018). Processed data: :cite:p:`yang2021`.

    Examples
    --------
    >>> import cellprism
    >>> mdata = cellprism.datasets.a549()
    >>> mdata["rna"].shape, mdata["atac"].shape
    ((1874, 2613), (1874, 815))
    """
    return read_shipped("a549")
