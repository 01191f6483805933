"""NIR, the neuromorphic intermediate representation, in and out.

- `read` reads a file of a stranger: it is checked before it is opened, and so is every value in it. What is wrong is a
  `NIRImportError`, which names the file and the node.
"""

from ._error import NIRImportError as NIRImportError
from ._reading import read as read
