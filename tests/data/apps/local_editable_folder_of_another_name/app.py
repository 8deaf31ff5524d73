import mylib.sub
import alone
