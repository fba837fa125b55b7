"""`python -m data_pipeline.picture`: the command of `data_pipeline.simulated.picture`."""

import sys

from data_pipeline.simulated.picture import main

if __name__ == "__main__":
    sys.exit(main())
