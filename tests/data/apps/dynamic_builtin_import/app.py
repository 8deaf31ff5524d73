np = __import__("numpy")
import builtins
builtins.__import__("tqdm")
