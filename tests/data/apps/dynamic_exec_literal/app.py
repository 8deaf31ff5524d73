exec("import numpy as np\nprint(np)")
