import bad
import unknownone
