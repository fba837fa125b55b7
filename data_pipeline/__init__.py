"""Files of a data set -> batches of clips with their masks.

This package alone imports TensorFlow, in the modules that need it.
"""

from jaxpose.starting import end_at_once

end_at_once("-m")
