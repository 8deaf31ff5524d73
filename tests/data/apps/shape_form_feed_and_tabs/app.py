if True:
	import numpy
