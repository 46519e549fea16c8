"""Blood cells of which some lack RNA and some lack proteins."""

from typing import TYPE_CHECKING

from cellprism.datasets._io import read_shipped

if TYPE_CHECKING:
    import mudata


def pbmc_citeseq_mosaic() -> "mudata.MuData":
    """RNA and surface proteins of 1,600 blood cells, of which 800 have both (CITE-seq).

    Four batches of 400 cells: ``p1_0`` has RNA only, ``p2_0`` proteins only, ``p3_0`` and ``p4_0`` both.
    Values are raw counts.

    Returns
    -------
    Mosaic MuData of 1,600 cells.

    - ``mdata["rna"]``: 1,200 cells, 500 genes.
    - ``mdata["protein"]``: 1,200 cells, 224 antibodies.
    - ``.obs`` of both modalities and of ``mdata``: ``cell_type`` (8 types) and ``batch`` (4).

    Notes
    -----
    Source: quick-start data of labomics/midas (MIT licence), a subset of the reference of Hao et al.

    References
    ----------
    Cells: Hao et al., Integrated analysis of multimodal single-cell data, Cell 184:3573 (2021). Subset: He et
    al., Mosaic integration and knowledge transfer of single-cell multimodal data with MIDAS, Nature
    Biotechnology (2024).

    Examples
    --------
    >>> import cellprism
    >>> mdata = cellprism.datasets.pbmc_citeseq_mosaic()
    >>> mdata.n_obs, mdata["rna"].shape, mdata["protein"].shape
    (1600, (1200, 500), (1200, 224))
    """
    return read_shipped("pbmc_citeseq_mosaic")
