"""Reading the files beside this module."""

import warnings
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import mudata


def read_shipped(name: str) -> "mudata.MuData":
    """Read ``files/<name>.h5mu`` without a warning, and alike under every mudata release.

    Until release 0.4 mudata copies each modality's columns into ``mdata.obs`` as ``rna:label`` and announces
    that it will stop doing so. Its option for that logs through the root logger, so the copies are taken out
    instead.
    """
    import mudata

    with as_file(files("cellprism.datasets") / "files" / f"{name}.h5mu") as path, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mdata = mudata.read_h5mu(path)
        prefixes = tuple(f"{modality}:" for modality in mdata.mod)
        for pulled in [column for column in mdata.obs.columns if column.startswith(prefixes)]:
            del mdata.obs[pulled]
        for pulled in list(mdata.var.columns):  # the files describe features within each modality only
            del mdata.var[pulled]
    return mdata
