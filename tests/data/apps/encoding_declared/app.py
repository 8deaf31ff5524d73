# -*- coding: latin-1 -*-
import numpy
