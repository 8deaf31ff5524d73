import unknownone
