"""`python -m data_pipeline.look`: the command of `data_pipeline.simulated.look`."""

import sys

from data_pipeline.simulated.look import main

if __name__ == "__main__":
    sys.exit(main())
