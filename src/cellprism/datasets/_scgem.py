"""Expression and DNA methylation during reprogramming."""

from typing import TYPE_CHECKING

from cellprism.datasets._io import read_shipped

if TYPE_CHECKING:
    import mudata


def scgem() -> "mudata.MuData":
    """Expression and DNA methylation of 177 fibroblasts on their way to pluripotency (scGEM).

    Both modalities were measured in every cell. Expression is processed (not counts); methylation is binary.

    Returns
    -------
    Fully paired MuData of 177 cells.

    - ``mdata["rna"]``: 34 genes.
    - ``mdata["methylation"]``: 27 sites, 0 or 1.
    - ``.obs`` of both modalities and of ``mdata``: ``cell_type`` (BJ, d8, d16T+, d24T+, iPS) and ``stage`` (0
      to 4, their order).

    Notes
    -----
    Source: caokai1073/Pamona (MIT licence), the same matrices as in rsinghlab/SCOT (MIT licence).

    References
    ----------
    Cells: Cheow et al., Single-cell multimodal profiling reveals cellular epigenetic heterogeneity, Nature
    Methods 13:833 (2016). Matrices: Welch, Hartemink and Prins, MATCHER, Genome Biology 18:138 (2017).

    Examples
    --------
    >>> import cellprism
    >>> mdata = cellprism.datasets.scgem()
    >>> mdata["rna"].shape, mdata["methylation"].shape
    ((177, 34), (177, 27))
    """
    return read_shipped("scgem")
