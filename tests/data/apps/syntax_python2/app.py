import numpy
print "hello"
