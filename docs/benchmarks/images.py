"""Score CrossModalVAE on microscope images beside its baselines, over several seeds, and write the tables.

    python docs/benchmarks/images.py --data FOLDER --output docs/benchmarks/images.md

The Jurkat and HT29 images ship with the package; the other rows need a folder of ``.h5mu`` files. A fixed random
quarter of the cells is held out. Settings are the defaults, with ``precision="bf16-mixed"``.
"""

import warnings
from collections.abc import Callable
from pathlib import Path

from _arguments import parse_arguments
from _image_data import paired_data, read_mdata, unpaired_data
from _image_rows import (
    score_classes,
    score_identities,
    score_mitosis,
    score_pairs,
    score_published,
    score_sharpness,
    score_unpaired,
)
from _tables import Tables, machine


def jurkat(folder: Path | None, seeds: list[int], tables: Tables) -> None:
    data = paired_data(read_mdata("jurkat_ifc_images", folder), ("labelfree", "nucleus"))
    models = score_pairs("Jurkat", data, seeds, tables)
    score_classes("Jurkat", data, models, "phase3", tables)


def fly(folder: Path | None, seeds: list[int], tables: Tables) -> None:
    score_pairs("fly", paired_data(read_mdata("fly_kc167_images", folder), ("nucleus", "protein_image")), seeds, tables)


def ht29(folder: Path | None, seeds: list[int], tables: Tables) -> None:
    score_mitosis(read_mdata("ht29_ph3_images", folder), seeds, tables)


def cell_cycle(folder: Path | None, seeds: list[int], tables: Tables) -> None:
    data = unpaired_data(read_mdata("cellcycle_rna_nucleus_unpaired", folder), ("rna", "nucleus"))
    score_unpaired(data, seeds, tables)
    score_published(data, seeds, tables)


def stains(folder: Path | None, seeds: list[int], tables: Tables) -> None:
    score_identities(read_mdata("fly_kc167_images", folder), seeds, tables)


def sharpness(folder: Path | None, seeds: list[int], tables: Tables) -> None:
    data = paired_data(read_mdata("jurkat_ifc_images", folder), ("labelfree", "nucleus"))
    score_sharpness(data, seeds, tables)


ROWS: dict[str, Callable[[Path | None, list[int], Tables], None]] = {
    function.__name__: function for function in (jurkat, fly, ht29, cell_cycle, stains, sharpness)
}


def document(tables: Tables, seeds: list[int]) -> str:
    return (
        "# Images\n\n"
        "Written by `docs/benchmarks/images.py`; rules in [the protocol](protocol.md). Held-out cells, a random "
        f"quarter; mean (and range) over seeds {', '.join(map(str, seeds))}; default settings and mixed precision. "
        "Baselines have no seed. `R2 of 30 components`: pooled, of pixel components of the training cells' targets; "
        "`error / mean image`: squared error over that of the mean image; `similarity`: structural similarity; "
        "`features`: mean correlation of image features over cells; `labels`: held-out cells by 10 training cells of "
        "the other modality; `forest`: mean one-against-rest AUC of a random forest of real cells, applied to "
        "translated ones; a strip is a quarter of the HT29 field, whose crops overlap; `detail kept`: differences of "
        "neighbouring pixels, predicted over true; `seconds`: CPU seconds of training.\n\n"
        f"{machine()}\n\n{tables.markdown()}\n"
    )


def main() -> None:
    options = parse_arguments(__doc__, list(ROWS))
    warnings.simplefilter("ignore")
    tables = Tables()
    for row in options.rows:
        ROWS[row](options.data, options.seeds, tables)
        if options.output is not None:
            options.output.write_text(document(tables, options.seeds))
    print("\n" + document(tables, options.seeds))


if __name__ == "__main__":
    main()
