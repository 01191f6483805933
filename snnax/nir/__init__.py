"""NIR, the neuromorphic intermediate representation, in and out.

- `read` reads a file of a stranger: the file is checked before it is opened, and then every value in it. `check_nodes`
  checks a graph that is already here. What is wrong is a `NIRImportError`, which names the file and the node.
"""

from ._checking import check_nodes as check_nodes
from ._error import NIRImportError as NIRImportError
from ._reading import read as read
