import os, numpy, pandas as pd
import requests as http
