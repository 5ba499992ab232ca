"""Makes the modules of ../golden importable: the reference implementation, CLIP's tokenizer, the archive writer."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../golden"))
