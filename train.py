"""accelerate launch train.py --config training/recipes/tiny_cpu.yaml [--field value ...]; see training/train.py."""

import sys

from training.train import main

if __name__ == "__main__":
    sys.exit(main())
