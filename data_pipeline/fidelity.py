"""`python -m data_pipeline.fidelity`: the command of `data_pipeline.simulated.fidelity`."""

import sys

from data_pipeline.simulated.fidelity import main

if __name__ == "__main__":
    sys.exit(main())
