import bs4, sklearn, cv2, PIL, yaml, Bio, git, jwt, zmq, dateutil, attr, pandas
from Crypto.Cipher import AES
