"""What a model has to beat: simple methods fitted on training cells, applied to held-out cells.

All take transformed matrices (log-normalised counts, standardised features, ...), cells x features, dense or
sparse, or images, cells x channels x height x width, whose pixels are the features. A prediction has the shape
of the target.
"""

from cellprism.tl.baselines._block_regression import block_regression
from cellprism.tl.baselines._cca import CCAEmbedding, cca_embedding
from cellprism.tl.baselines._class_probabilities import ClassProbabilities, class_probabilities
from cellprism.tl.baselines._label_class_means import label_class_means
from cellprism.tl.baselines._mean_profile import mean_profile
from cellprism.tl.baselines._nearest_donor import nearest_donor
from cellprism.tl.baselines._ridge import ridge

__all__ = [
    "CCAEmbedding",
    "ClassProbabilities",
    "block_regression",
    "cca_embedding",
    "class_probabilities",
    "label_class_means",
    "mean_profile",
    "nearest_donor",
    "ridge",
]
