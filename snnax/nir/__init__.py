"""NIR, the neuromorphic intermediate representation, in and out.

- `from_nir` makes a `snn.Graph` of a NIR graph or file; `to_nir` makes a NIR graph of a network, and `write` a file.
- How time constants become decays: `ForwardEuler`, `ExponentialEuler`, `ImpulseInvariant`.
- Which layer stands for which node: `Pair`, for layers and nodes of one's own, with the `Terms` that its functions are
  given and the `NotExpressible` that they raise; `threshold_to_nir` and `threshold_from_nir`, for NIR's neurons fire
  above their threshold.
- `read` reads a file of a stranger: it is checked before it is opened, and so is every value in it, which
  `check_nodes` does for a graph from elsewhere. What is wrong is a `NIRImportError`, which names the file and the node;
  what NIR cannot express is a `NIRExportError`.
"""

from ._checking import check_nodes as check_nodes
from ._discretisation import (
    AbstractDiscretisation as AbstractDiscretisation,
    ExponentialEuler as ExponentialEuler,
    ForwardEuler as ForwardEuler,
    ImpulseInvariant as ImpulseInvariant,
)
from ._error import NIRExportError as NIRExportError, NIRImportError as NIRImportError
from ._from_nir import from_nir as from_nir
from ._pairs import threshold_from_nir as threshold_from_nir, threshold_to_nir as threshold_to_nir
from ._reading import read as read
from ._terms import NotExpressible as NotExpressible, Pair as Pair, Terms as Terms
from ._to_nir import to_nir as to_nir, write as write
