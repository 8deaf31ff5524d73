from mypkg.core import run
