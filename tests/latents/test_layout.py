import json

import pytest

from cellprism.latents import Block, LatentLayout

BOTH = ["rna", "atac"]


def test_a_split_layout_has_a_shared_block_and_one_for_each_modality():
    layout = LatentLayout.split(BOTH, n_shared=32, n_private=8)
    assert layout.names == ("shared", "rna", "atac")
    assert layout.blocks_of("rna") == ("shared", "rna")
    assert layout.shared_of("rna") == ("shared",)
    assert layout.private_of("rna") == ("rna",)
    assert layout.common("rna", "atac") == ("shared",)
    assert layout.width(layout.blocks_of("atac")) == 40


def test_private_width_zero_is_the_model_of_the_paper():
    layout = LatentLayout.split(BOTH, n_shared=16, n_private=0)
    assert layout.names == ("shared",)
    assert layout.private_of("rna") == ()


def test_private_widths_may_differ():
    layout = LatentLayout.split(BOTH, n_shared=4, n_private={"rna": 3, "atac": 0})
    assert layout["rna"].width == 3
    assert layout.private_of("atac") == ()


def test_a_block_may_be_shared_by_some_modalities():
    blocks = (Block("shared", 4, ("a", "b", "c")), Block("ab", 2, ("a", "b")), Block("c", 1, ("c",)))
    layout = LatentLayout(blocks)
    assert layout.shared_of("a") == ("shared", "ab")
    assert layout.common("a", "c") == ("shared",)
    assert layout.private_of("c") == ("c",)


def test_all_blocks_of_an_only_modality_serve_its_one_decoder():
    layout = LatentLayout.split(["rna"], n_shared=4, n_private=2)
    assert layout.shared_of("rna") == layout.blocks_of("rna")
    assert layout.private_of("rna") == ()


def test_a_layout_survives_plain_values():
    layout = LatentLayout.split(BOTH, n_shared=4, n_private=2)
    assert LatentLayout.from_plain(json.loads(json.dumps(layout.to_plain()))) == layout


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Block("x", 0, ("rna",)), "Block 'x' has width 0; expected at least 1"),
        (lambda: Block("x", 1, ()), "Block 'x' has modalities"),
        (lambda: Block("x", 1, ("rna", "rna")), "expected distinct names"),
        (lambda: LatentLayout(()), "expected one or more with distinct names"),
        (lambda: LatentLayout((Block("x", 1, ("a",)), Block("x", 2, ("b",)))), "distinct names"),
        (lambda: LatentLayout.split(["shared", "b"], n_shared=2, n_private=0), "name of the shared block. Rename it"),
        (lambda: LatentLayout.split(BOTH, n_shared=2, n_private={"rn": 2}), r"n_private names \['rn'\]"),
        (lambda: LatentLayout.split(BOTH, n_shared=2, n_private=1).check(["rna"]), "The layout speaks of"),
    ],
)
def test_a_wrong_layout_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_an_unknown_block_is_named():
    with pytest.raises(KeyError, match="There is no block 'x'; the layout has 'shared'"):
        LatentLayout.split(BOTH, n_shared=2, n_private=0)["x"]
