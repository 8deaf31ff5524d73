import loose
